"""Records that merges make: events of a closed account on their way to the one that goes on, its contacts, and
erasures the other way. Rules writes all of them onto `touchline.events`, and they take effect at their place there.

A forwarded event keeps its id, source, time and data. Its account becomes the one that goes on, and `mergedfrom` is
the one it was sent to first. Under the new account it is known by source, id and content (`fingerprint`): two events
of two accounts may share an id, and both count; the same event under two names counts once.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.event import Event, microseconds
from schemas.profile import Closing, Contact, Profile, completed, contact_of

ABSORBED = "touchline.account.absorbed"  # to the account that goes on: the account that it takes in
# To a closed account: the one it was merged into was erased, or a contact there.
ERASED = "touchline.account.erased"
MAX_HOPS = 32  # times that an event is forwarded; more mean that the accounts form a circle
ROOM = 256 << 10  # bytes of an `ABSORBED`; an account with more contacts sends several
SOURCE = "touchline"

_sorted_json = msgspec.json.Encoder(order="sorted").encode
_json = msgspec.json.Encoder().encode


class Absorbed(msgspec.Struct, omit_defaults=True, frozen=True):
    """The data of an `ABSORBED`. `names` holds the closed account and those merged into it before, each with its
    contacts. `source` is the source of its first event. `lone` is 1 if only one Segment user's calls made the account,
    and 2 if all of these were unvouched.
    """

    account: str
    names: dict[str, list[str]] = {}
    contacts: list[Contact] = []
    source: str = ""
    lone: int = 0
    unvouched: bool = False


class Erased(msgspec.Struct, omit_defaults=True, frozen=True):
    """The data of an `ERASED`: `into` was erased, or (`contact`) one person there."""

    into: str
    contact: str | None = None


def absorbed_of(event: Event) -> Absorbed | None:
    """The content of an `ABSORBED`; None for any other event."""
    found: Absorbed | None = _converted(event.data, Absorbed)
    return found


def erased_of(event: Event) -> Erased | None:
    """The content of an `ERASED`; None for any other event."""
    found: Erased | None = _converted(event.data, Erased)
    return found


def _converted(data: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecursionError):
        return None


def fingerprint(event: Event) -> int:
    """An event's content as a number of 63 bits, at least 1. The account does not count, nor the order of names."""
    time = 0 if event.time is None else microseconds(event.time)
    said = _sorted_json((event.type, time, event.contact, event.data))
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big") >> 1 | 1


def sent_on(event: Event, closing: Closing) -> Event:
    """The event as it is forwarded. The user whom a lone account stood for becomes a contact there."""
    contact = contact_of(event)
    if closing.contact is not None and contact in (None, event.account):
        contact = closing.contact
    return msgspec.structs.replace(
        event,
        account=closing.into,
        contact=contact,
        data=_renamed(event, closing),
        mergedfrom=event.mergedfrom or event.account,
        mergedhops=event.mergedhops + 1,
    )


def _renamed(event: Event, closing: Closing) -> Any:
    """The data, in which contacts that a lone account had taken in become its user too."""
    absorbed = absorbed_of(event) if event.type == ABSORBED and closing.contact is not None else None
    if absorbed is None or event.account is None:
        return event.data
    names = {
        name: [_there(event.account, closing, one) for one in had] for name, had in absorbed.names.items()
    }
    contacts = [
        msgspec.structs.replace(one, id=_there(event.account, closing, one.id)) for one in absorbed.contacts
    ]
    return msgspec.to_builtins(msgspec.structs.replace(absorbed, names=names, contacts=contacts))


def close(profile: Profile, closing: Closing) -> list[Contact]:
    """Close an account. Returns its contacts, under the ids that they get at the other account."""
    contacts = [
        msgspec.structs.replace(contact, id=_there(profile.id, closing, contact.id))
        for contact in profile.contacts.values()
    ]
    profile.closed, profile.contacts = closing, {}
    return contacts


def names_of(profile: Profile, closing: Closing) -> dict[str, list[str]]:
    """The account and all that were merged into it, each with its contacts, as before it is closed."""
    mine = list(profile.contacts)
    if closing.contact is not None and profile.id not in profile.contacts:
        mine.append(profile.id)
    had = {profile.id: mine, **profile.absorbed}
    return {name: [_there(profile.id, closing, one) for one in contacts] for name, contacts in had.items()}


def _there(account: str, closing: Closing, contact: str) -> str:
    """A contact's id at the account that goes on."""
    return closing.contact if closing.contact is not None and contact == account else contact


def take_in(profile: Profile, absorbed: Absorbed) -> None:
    """Add the other account's contacts whose ids are not there yet, and remember where they came from.

    An unvouched contact is replaced. The user whom a lone account stood for is the same person here and there.
    """
    for contact in absorbed.contacts:
        known = profile.contacts.get(contact.id)
        if known is None or (known.unvouched and not contact.unvouched):
            profile.contacts[contact.id] = msgspec.structs.replace(contact)
        elif absorbed.lone and known.unvouched == contact.unvouched:
            profile.contacts[contact.id] = completed(known, contact)
    for name, contacts in absorbed.names.items():
        had = profile.absorbed.get(name, [])
        profile.absorbed[name] = [*had, *(one for one in contacts if one not in had)]


def in_pieces(absorbed: Absorbed) -> Iterator[Absorbed]:
    """Split it into records of a bounded size, the names first. A single contact may be larger than that."""
    names: dict[str, list[str]] = {}
    contacts: list[Contact] = []
    size = 0
    parts: list[tuple[str, list[str]] | Contact] = [*absorbed.names.items(), *absorbed.contacts]
    for part in parts:
        length = len(_json(part))
        if size and size + length > ROOM:
            yield msgspec.structs.replace(absorbed, names=names, contacts=contacts)
            names, contacts, size = {}, [], 0
        if isinstance(part, Contact):
            contacts.append(part)
        else:
            names[part[0]] = part[1]
        size += length
    yield msgspec.structs.replace(absorbed, names=names, contacts=contacts)
