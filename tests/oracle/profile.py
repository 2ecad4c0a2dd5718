"""Accounts, contacts and tiers after their updates (sections 2 and 4)."""

from __future__ import annotations

import copy
from typing import Any

from tests.oracle.conditions import holds

JSON = dict[str, Any]


def _merge(into: JSON, data: JSON, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in data:
            continue
        if data[name] is None:
            into.pop(name, None)
        elif name == "attributes":
            _merge(into.setdefault("attributes", {}), data[name], tuple(data[name]))
        else:
            into[name] = copy.deepcopy(data[name])


ACCOUNT_FIELDS = ("name", "tier", "owner", "timezone", "domains", "attributes")
CONTACT_FIELDS = ("email", "phone", "name", "roles", "active", "timezone", "locale", "attributes")


def merge_account(profile: JSON, data: JSON) -> None:
    """Merge an `account.updated`: attributes one by one, contacts by their ids; null deletes."""
    _merge(profile, data, ACCOUNT_FIELDS)
    for contact in data.get("contacts") or []:
        merge_contact(profile, contact["id"], contact)


def merge_contact(profile: JSON, contact: str, data: JSON) -> None:
    """Merge a `contact.updated`, or an entry of an account's `contacts`; the contact is known from then on."""
    known = profile.setdefault("contacts", {})
    _merge(known.setdefault(contact, {}), data, CONTACT_FIELDS)


def resolve_tier(account: str, profile: JSON, policy: list[JSON]) -> str:
    """The account's own tier, else that of the first entry of the tiers that matches, else `tech`."""
    if profile.get("tier"):
        return str(profile["tier"])
    view = {"account": {**profile, "id": account, "tier": None}}
    for entry in policy:
        if holds(entry.get("where"), view):
            return str(entry["tier"])
    return "tech"


def account_view(account: str, profile: JSON, policy: list[JSON]) -> JSON:
    """A snapshot of the account with its id and resolved tier; `contacts` by id."""
    view = copy.deepcopy(profile)
    view["id"] = account
    view["tier"] = resolve_tier(account, profile, policy)
    return view


def contact_view(account: JSON, contact: str | None) -> JSON | None:
    """The view for `contact.` paths; None without a contact. A contact is active unless an update said otherwise."""
    if contact is None:
        return None
    return {"id": contact, "active": True, "roles": [], **account.get("contacts", {}).get(contact, {})}
