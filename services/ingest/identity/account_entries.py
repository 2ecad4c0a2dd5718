"""By what an account can be found: ids in other systems, domains, addresses of contacts. Pure.

Built from the log as profiles are (`schemas.profile`), in log order, from vouched updates alone: what anybody may have
sent leads no event anywhere.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from schemas.addresses import normal
from schemas.domains import MAX_DOMAINS
from schemas.event import Event
from schemas.external_ids import ExternalIds, listed, merged_ids
from schemas.forwarding import ABSORBED, Absorbed, absorbed_of
from schemas.names import is_name
from schemas.profile import contact_of
from schemas.updates import UPDATES, right

HashOf = Callable[[str], bytes]  # of an address in its normal form
Row = tuple[str, str, bytes, str | None]  # kind, system or contact, hash, text where it is kept
LEARNED = UPDATES | {"contact.deleted", "account.deleted", ABSORBED}  # types that change entries

_TOLD_IN = {"account.updated": {"external_ids", "domains", "contacts"}, "contact.updated": {"email"}}


class AccountEntries(msgspec.Struct):
    """`contacts`: every known contact with the hash of their address; None: they have none."""

    external_ids: ExternalIds = {}
    domains: list[str] = []
    contacts: dict[str, bytes | None] = {}


def tells(event: Event) -> bool:
    """Whether an update may change entries."""
    if event.unvouched or event.type not in UPDATES or not isinstance(event.data, dict):
        return False
    return not event.data.keys().isdisjoint(_TOLD_IN[event.type])


def apply(entries: AccountEntries, event: Event, hash_of: HashOf) -> None:
    """Change the entries as an event of `LEARNED` says, in place."""
    if event.type == "account.deleted":
        entries.external_ids, entries.domains, entries.contacts = {}, [], {}
    elif event.type == "contact.deleted":
        entries.contacts.pop(contact_of(event) or "", None)
    elif event.type == ABSORBED:
        absorbed = absorbed_of(event)
        if absorbed is not None and not absorbed.unvouched:
            _take_in(entries, absorbed, hash_of)
    elif not event.unvouched and isinstance(event.data, dict):
        data = right(event.type, event.data)[0]
        if event.type == "account.updated":
            _update(entries, data, hash_of)
        elif (contact := contact_of(event)) is not None:
            _person(entries, contact, data, hash_of)


def _update(entries: AccountEntries, data: Mapping[str, Any], hash_of: HashOf) -> None:
    if "external_ids" in data:
        entries.external_ids = merged_ids(entries.external_ids, data["external_ids"])
    if "domains" in data:
        domains = data["domains"]
        entries.domains = list(dict.fromkeys(domains))[:MAX_DOMAINS] if isinstance(domains, list) else []
    contacts = data.get("contacts")
    for one in contacts if isinstance(contacts, list) else ():
        if isinstance(one, dict) and isinstance(one.get("id"), str) and one["id"]:
            _person(entries, one["id"], one, hash_of)


def _person(entries: AccountEntries, contact: str, data: Mapping[str, Any], hash_of: HashOf) -> None:
    if data.get("unvouched") is True or not is_name(contact):
        return  # what GET shows of a contact whom nobody vouches for
    entries.contacts.setdefault(contact, None)
    email = data.get("email", 0)
    if isinstance(email, str | None):
        entries.contacts[contact] = None if email is None else hash_of(normal(email))


def _take_in(entries: AccountEntries, absorbed: Absorbed, hash_of: HashOf) -> None:
    """Add the contacts of an account that was merged into this one, as `schemas.forwarding.take_in` does."""
    for one in absorbed.contacts:
        known = entries.contacts.get(one.id)
        if (
            not one.unvouched
            and is_name(one.id)
            and (one.id not in entries.contacts or (absorbed.lone and known is None))
        ):
            entries.contacts[one.id] = None if one.email is None else hash_of(normal(one.email))


def rows_of(entries: AccountEntries, key: Callable[[str, str, str], bytes]) -> Iterator[Row]:
    """The entries as rows of the table. `key`: the hash of a kind, a system and a value."""
    for system, ids in entries.external_ids.items():
        for one in listed(ids):
            yield "external_id", system, key("external_id", system, one), one
    for domain in entries.domains:
        yield "domain", "", key("domain", "", domain), domain
    for contact, address in entries.contacts.items():
        yield "email", contact, address or b"", None


def entries_of(rows: Iterator[Row]) -> AccountEntries:
    """The entries that these rows hold."""
    entries = AccountEntries()
    for kind, name, value, text in rows:
        if kind == "external_id":
            entries.external_ids[name] = [*listed(entries.external_ids.get(name, [])), text or ""]
        elif kind == "domain":
            entries.domains.append(text or "")
        else:
            entries.contacts[name] = value or None
    return entries
