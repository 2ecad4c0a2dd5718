"""What travels because accounts were merged: events of a closed account on their way to the one that goes on, its
contacts, and erasures the other way. Rules writes all of it onto `touchline.events`, and it holds at its place there.

An event that is sent on keeps its id, source, time and data. Its account is the one that goes on, `mergedfrom` the one
that it was given first. Under the new account it is known by source, id and what it says (`fingerprint`): two events of
two accounts may have one id, and both count; the same event under two names counts once.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.event import Event, microseconds
from schemas.profile import Closing, Contact, Profile, completed, contact_of

ABSORBED = "touchline.account.absorbed"  # to the account that goes on: whom it takes in
ERASED = (
    "touchline.account.erased"  # to a closed account: where it was merged into, all was erased, or a contact
)
MAX_HOPS = 32  # accounts that an event is sent on from; beyond it they lead in a circle
ROOM = 256 << 10  # bytes of an `ABSORBED`: whoever has more contacts sends several
SOURCE = "touchline"

_sorted_json = msgspec.json.Encoder(order="sorted").encode
_json = msgspec.json.Encoder().encode


class Absorbed(msgspec.Struct, omit_defaults=True, frozen=True):
    """The data of an `ABSORBED`. `names`: the closed account and those merged into it before, each with the contacts it
    had. `source`: its first event came from there. `lone`: whether one Segment user's calls alone made it (1), all of
    them unvouched (2).
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
    """What an `ABSORBED` says; None for what is none."""
    found: Absorbed | None = _converted(event.data, Absorbed)
    return found


def erased_of(event: Event) -> Erased | None:
    """What an `ERASED` says; None for what is none."""
    found: Erased | None = _converted(event.data, Erased)
    return found


def _converted(data: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecursionError):
        return None


def fingerprint(event: Event) -> int:
    """What an event says, as a number of 63 bits, at least 1; the account does not count, nor the order of names."""
    time = 0 if event.time is None else microseconds(event.time)
    said = _sorted_json((event.type, time, event.contact, event.data))
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big") >> 1 | 1


def sent_on(event: Event, closing: Closing) -> Event:
    """The event as the account that goes on gets it. The user whom a lone account stood for is a contact there."""
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
    """The data; who was taken in by a lone account is that user, too."""
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
    """Close an account; its contacts, under the ids that they have where they go."""
    contacts = [
        msgspec.structs.replace(contact, id=_there(profile.id, closing, contact.id))
        for contact in profile.contacts.values()
    ]
    profile.closed, profile.contacts = closing, {}
    return contacts


def names_of(profile: Profile, closing: Closing) -> dict[str, list[str]]:
    """The account and all that were merged into it, each with its contacts: before it is closed."""
    mine = list(profile.contacts)
    if closing.contact is not None and profile.id not in profile.contacts:
        mine.append(profile.id)
    had = {profile.id: mine, **profile.absorbed}
    return {name: [_there(profile.id, closing, one) for one in contacts] for name, contacts in had.items()}


def _there(account: str, closing: Closing, contact: str) -> str:
    """A contact's id at the account that goes on."""
    return closing.contact if closing.contact is not None and contact == account else contact


def take_in(profile: Profile, absorbed: Absorbed) -> None:
    """Its contacts, where there is none of that id; whose they were is remembered.

    One whom nobody vouches for gives way. The user whom a lone account stood for is the same person here and there.
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
    """The same in records of a bounded size, the names first. One contact may be larger than that by itself."""
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
