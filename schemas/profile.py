"""What is known of an account and its contacts, and how updates merge into it.

Rules and actions both build it from the log, in log order. Updates merge per attribute, `null` deletes,
contacts merge by `id`. A value of the wrong type, or an invalid address or timezone, is ignored, since other
programs may write to the topic.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.domains import MAX_DOMAINS, domain_of
from schemas.event import Event
from schemas.external_ids import ExternalIds, merged_ids
from schemas.updates import right

TEXTS = ("name", "timezone")
CONTACT_TEXTS = ("email", "phone", "name", "timezone", "locale")


class Owner(msgspec.Struct, omit_defaults=True):
    """The person on our side who looks after an account."""

    name: str | None = None
    email: str | None = None


class Contact(msgspec.Struct, omit_defaults=True):
    """A person at an account."""

    id: str
    email: str | None = None
    name: str | None = None
    roles: list[str] = []
    active: bool = True
    timezone: str | None = None
    locale: str | None = None
    attributes: dict[str, Any] = {}
    unvouched: bool = False  # known from calls that anybody may have made, and from nothing else
    phone: str | None = None  # in E.164


class Closing(msgspec.Struct, omit_defaults=True, frozen=True):
    """The mark of an account that was merged into another. `contact`: for an account of one user, the id of that
    user there. `unvouched`: an unvouched merge closed the account, so a vouched event may reopen it.
    """

    into: str
    contact: str | None = None
    unvouched: bool = False


class Profile(msgspec.Struct, omit_defaults=True):
    """An account at a place in the log. `tier` is its own override, not the resolved one.

    `domains`: where the account's people have their addresses. `external_ids`: what other systems call it, by
    system. `unvouched`: only updates that anybody may
    have sent made it what it is; None: no update has said, which means no for an account with any data.
    `closed`: it was merged into another account. `absorbed`: the accounts that were merged into this one,
    also through others, each with the contacts it had, under their ids here.
    """

    id: str
    name: str | None = None
    tier: str | None = None
    owner: Owner | None = None
    timezone: str | None = None
    attributes: dict[str, Any] = {}
    contacts: dict[str, Contact] = {}
    domains: list[str] = []
    unvouched: bool | None = None
    closed: Closing | None = None
    absorbed: dict[str, list[str]] = {}
    external_ids: ExternalIds = {}


def apply_update(profile: Profile, event: Event) -> None:
    """Merge an `account.updated` or `contact.updated`, or carry out a deletion, in place.

    An unvouched update (see `Event`) changes nothing that a vouched one made. After `account.deleted` only
    the id is left; the caller drops everything else it keeps.
    """
    if event.type in ("account.updated", "contact.updated"):
        _vouch(profile, event.unvouched)
    if event.type == "account.updated":
        if isinstance(event.data, dict):
            _merge_account(profile, right(event.type, event.data)[0], event.unvouched)
    elif event.type == "contact.updated":
        _update_contact(profile, event)
    elif event.type == "contact.deleted":
        forget(profile, contact_of(event))
    elif event.type == "account.deleted":
        _clear(profile)


def forget(profile: Profile, contact: str | None) -> None:
    """Forget a contact, and an account that was merged into this one and stood for that person alone."""
    if contact is None:
        return
    profile.contacts.pop(contact, None)
    profile.absorbed.pop(contact, None)
    for had in profile.absorbed.values():
        if contact in had:
            had.remove(contact)


def contact_of(event: Event) -> str | None:
    """The contact that an event names: its attribute, for contact updates and deletions also `data.id`."""
    if event.contact or not event.type.startswith("contact.") or not isinstance(event.data, dict):
        return event.contact or None
    named = event.data.get("id")
    return named if isinstance(named, str) and named else None


def completed(contact: Contact, other: Contact) -> Contact:
    """A contact whose missing fields are taken from another one of the same person."""
    fields = {name: getattr(contact, name) or getattr(other, name) for name in CONTACT_TEXTS}
    attributes = {**other.attributes, **contact.attributes}
    return msgspec.structs.replace(
        contact, **fields, roles=contact.roles or other.roles, attributes=attributes
    )


def is_vouched(profile: Profile, contact: Contact) -> bool:
    """Whether somebody other than the contact says that they belong to the account: an update, or their address."""
    return not contact.unvouched or (bool(profile.domains) and domain_of(contact.email) in profile.domains)


def _clear(profile: Profile) -> None:
    profile.name = profile.tier = profile.owner = profile.timezone = profile.unvouched = None
    profile.attributes, profile.contacts, profile.domains, profile.external_ids = {}, {}, [], {}


def _vouch(profile: Profile, unvouched: bool) -> None:
    """Note whether a vouched update of the account has come."""
    if not unvouched:
        profile.unvouched = False
    elif profile.unvouched is None:
        said = (profile.name, profile.tier, profile.owner, profile.timezone)
        more = (
            profile.attributes
            or profile.domains
            or profile.external_ids
            or not all(one.unvouched for one in profile.contacts.values())
        )
        profile.unvouched = not more and said == (None,) * len(said)


def _merge_account(profile: Profile, data: Mapping[str, Any], unvouched: bool) -> None:
    if unvouched and not profile.unvouched:
        return
    for field in TEXTS if unvouched else (*TEXTS, "tier"):
        if field in data and isinstance(data[field], str | None):
            setattr(profile, field, data[field])
    _merge_attributes(profile, data)
    if unvouched:
        return
    if "owner" in data:
        _merge_owner(profile, data["owner"])
    if "domains" in data:
        domains = data["domains"]
        profile.domains = list(dict.fromkeys(domains))[:MAX_DOMAINS] if isinstance(domains, list) else []
    if "external_ids" in data:
        profile.external_ids = merged_ids(profile.external_ids, data["external_ids"])
    contacts = data.get("contacts")
    for entry in contacts if isinstance(contacts, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]:
            _merge_contact(profile, entry["id"], entry, False)


def _merge_owner(profile: Profile, owner: Any) -> None:
    """An owner is replaced as a whole: the old one's name beside the new one's address would be wrong."""
    if owner is None:
        profile.owner = None
    elif isinstance(owner, dict):
        name, email = owner.get("name"), owner.get("email")
        profile.owner = Owner(
            name=name if isinstance(name, str) else None, email=email if isinstance(email, str) else None
        )


def _update_contact(profile: Profile, event: Event) -> None:
    contact = contact_of(event)
    if contact is not None:
        data = right(event.type, event.data)[0] if isinstance(event.data, dict) else {}
        _merge_contact(profile, contact, data, event.unvouched)


def _merge_contact(profile: Profile, contact_id: str, data: Mapping[str, Any], unvouched: bool) -> None:
    """Merge a contact. `unvouched` in the data is what GET shows: written back, it does not vouch for the contact."""
    unvouched = unvouched or data.get("unvouched") is True
    contact = profile.contacts.get(contact_id)
    if contact is None:
        contact = profile.contacts[contact_id] = Contact(id=contact_id, unvouched=unvouched)
    if unvouched and not contact.unvouched:
        return
    contact.unvouched = unvouched
    for field in CONTACT_TEXTS:
        if field in data and isinstance(data[field], str | None):
            setattr(contact, field, data[field])
    if "roles" in data and not unvouched:
        roles = data["roles"]
        contact.roles = [role for role in roles if isinstance(role, str)] if isinstance(roles, list) else []
    if "active" in data and not unvouched:
        contact.active = data["active"] is not False  # null deletes the value, so the contact is active again
    _merge_attributes(contact, data)


def _merge_attributes(target: Profile | Contact, data: Mapping[str, Any]) -> None:
    if "attributes" not in data:
        return
    attributes = data["attributes"]
    if attributes is None:
        target.attributes = {}
    elif isinstance(attributes, dict):
        merged = dict(target.attributes)
        for name, value in attributes.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = value
        target.attributes = merged
