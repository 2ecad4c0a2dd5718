"""The template context: an account, a contact, its owner and the trigger as JSON objects for templates and webhooks.

Every field that an account or contact may have is always there, null where unknown, so that a template can ask for
it without failing. `attributes` holds only those that were set; a template that names an unknown one fails loudly.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.event import rfc3339
from schemas.profile import Contact, Profile
from services.actions.plays.model import Play

HIDDEN = ("shadow", "scope", "depth")  # fields on the log that are not part of a trigger's public form


def trigger_document(trigger: Any) -> dict[str, Any]:
    """A trigger as the JSON object that the contract describes."""
    document: dict[str, Any] = msgspec.to_builtins(trigger)
    for name in HIDDEN:
        document.pop(name, None)
    return document


def account_document(profile: Profile, tier: str) -> dict[str, Any]:
    """The account, with the play's tier."""
    return {
        "id": profile.id,
        "name": profile.name,
        "tier": tier,
        "owner": owner_document(profile),
        "timezone": profile.timezone,
        "domains": list(profile.domains),
        "external_ids": dict(profile.external_ids),
        "attributes": dict(profile.attributes),
        "contacts": [contact_document(contact) for contact in profile.contacts.values()],
    }


def contact_document(contact: Contact | None) -> dict[str, Any]:
    """A contact; without one, every field is null."""
    if contact is None:
        empty = dict.fromkeys(("id", "email", "phone", "name", "active", "timezone", "locale"))
        return {**empty, "roles": [], "attributes": {}}
    return {
        "id": contact.id,
        "email": contact.email,
        "phone": contact.phone,
        "name": contact.name,
        "roles": list(contact.roles),
        "active": contact.active,
        "timezone": contact.timezone,
        "locale": contact.locale,
        "attributes": dict(contact.attributes),
    }


def owner_document(profile: Profile) -> dict[str, Any]:
    """The owner's name and address, null where unknown."""
    owner = profile.owner
    if owner is None:
        return {"name": None, "email": None}
    return {"name": owner.name, "email": owner.email}


def render_context(
    play: Play, profile: Profile, contact: Contact | None, now: int, brand: Mapping[str, Any]
) -> dict[str, Any]:
    """The names in scope of a template at a step; `contact` is an email's recipient, else the trigger's contact."""
    return {
        "account": account_document(profile, play.tier),
        "contact": contact_document(contact),
        "owner": owner_document(profile),
        "trigger": play.trigger,
        "tier": play.tier,
        "now": rfc3339(now),
        "brand": brand,
    }


def default_body(play: Play, step: str, profile: Profile) -> dict[str, Any]:
    """The body of a webhook whose step gives none."""
    contact = None if play.contact is None else profile.contacts.get(play.contact)
    return {
        "play": play.id,
        "playbook": play.playbook,
        "step": step,
        "account": account_document(profile, play.tier),
        "contact": None if contact is None else contact_document(contact),
        "trigger": play.trigger,
    }
