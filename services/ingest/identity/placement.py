"""Places Segment calls: the account, contact and time of each call, and what follows from it. Pure.

An `IdentityBook` (see `book`) holds what is known of the users that a request names; `place` reads the calls
in order and writes into it. A call that was sent before goes where it went then, whatever came between.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.event import MERGED, Event, from_microseconds, microseconds
from services.ingest.identity.book import IdentityBook, Known, Membership

# What follows from a call: a contact update; a merge of the account that stood for the user alone, or for the anonymous
# user of the call; a merge of that account which the call itself made, too late.
CONTACT, OWN, ANONYMOUS, LATE = 1, 2, 4, 8


class IdentityCall(msgspec.Struct, kw_only=True):
    """One call. `event` has its time; its account and contact are found here.

    `known` and `anonymous`: `userId` and `anonymousId`; `message`: `messageId`; `group`: the `groupId` of a group call;
    `named`: the group in its context; `traits`: what it says of the user, as the data of a contact update.
    """

    event: Event
    known: str | None = None
    anonymous: str | None = None
    message: str | None = None
    group: str | None = None
    named: str | None = None
    traits: dict[str, Any] | None = None
    # Hash of user and `messageId`, by which a repeat is known; without a `messageId` there is none.
    name: bytes | None = None

    def __post_init__(self) -> None:
        if self.message is not None:
            self.name = digest(str(self.unvouched), self.user, self.message)

    @property
    def user(self) -> str:
        """The user as sent; empty if it names none."""
        return self.known or self.anonymous or ""

    @property
    def unvouched(self) -> bool:
        """Whether it came with a `track` key alone."""
        return self.event.unvouched


class Placement(msgspec.Struct):
    """What becomes of one call: its event, the contact update that follows from it, and the merges that
    it asks for."""

    event: Event
    contact: Event | None = None
    merges: list[Event] = []


def digest(*parts: str) -> bytes:
    """16 bytes that name these texts."""
    made = blake2b(digest_size=16)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        made.update(len(raw).to_bytes(4, "big") + raw)
    return made.digest()


def place(calls: Sequence[IdentityCall], book: IdentityBook) -> list[Placement]:
    """Place each call, in the order received. Which merges are possible is decided by `MergedAccounts`."""
    return [_placed(said, book) for said in calls]


def _placed(said: IdentityCall, book: IdentityBook) -> Placement:
    before = book.calls.get(said.name) if said.name is not None else None
    if before is not None:
        return _again(said, before, book)
    event, user, unvouched = said.event, said.user, said.unvouched
    time = 0 if event.time is None else microseconds(event.time)
    if not user:  # a group call that names no user speaks of the account alone
        return _kept(said, book, time, 0, Placement(event))
    follows = _tie(said, book, time)
    person = said.known or book.person(user, time, unvouched) or user
    group = said.group or said.named or book.group(person, time, unvouched)
    _address(said, group or person, person)
    if said.traits is not None:
        book.add_traits((person, unvouched), said.traits)
    if group is None:
        book.add_lone((person, unvouched))
        follows |= LATE if _belongs(book, person, time, unvouched) else 0
    if said.group is not None:
        follows |= _join(said, book, person, time)
    return _kept(said, book, time, follows, _followed(said, book, person, follows))


def _join(said: IdentityCall, book: IdentityBook, person: str, time: int) -> int:
    """Note a group call. Returns what follows from it."""
    key = (person, said.unvouched)
    follows = OWN if book.is_lone(*key) else 0
    book.add_group(key, time, said.group or "")
    return follows | (CONTACT if said.known is not None or key in book.traits else 0)


def _belongs(book: IdentityBook, person: str, time: int, unvouched: bool) -> tuple[str, str] | None:
    """The account and contact of a user who had no group at this time, by what is known of later times."""
    tied = book.first_tie(person, unvouched)
    if tied is not None:
        at, known = tied
        return book.group(known, at, unvouched) or known, known
    group = book.next_group(person, time, unvouched)
    return None if group is None else (group, person)


def _kept(said: IdentityCall, book: IdentityBook, time: int, follows: int, placed: Placement) -> Placement:
    if said.name is not None:
        book.add_call(
            said.name, said.user, Membership(said.event.account or "", said.event.contact, time, follows)
        )
    return placed


def _again(said: IdentityCall, before: Membership, book: IdentityBook) -> Placement:
    """Place a call that was sent before, with what followed from it then, which may not be on the log yet."""
    event = said.event
    event.account, event.contact, event.time = before.account, before.contact, from_microseconds(before.time)
    return _followed(said, book, before.contact or said.user, before.follows)


def _address(said: IdentityCall, account: str, person: str) -> None:
    """The contact that an event names. Of an anonymous user only updates name one, until it is known who they are."""
    event = said.event
    event.account = account
    named = person != said.user or event.type == "contact.updated"
    event.contact = person if named else said.known


def _tie(said: IdentityCall, book: IdentityBook, time: int) -> int:
    """Tie the anonymous user of a call to its known one. Returns what follows from that.

    Only the first user takes over what the anonymous one was before: a computer may be shared.
    """
    known, anonymous, unvouched = said.known, said.anonymous, said.unvouched
    if known is None or anonymous is None or known == anonymous:
        return 0
    key = (anonymous, unvouched)
    if book.person(anonymous, time, unvouched) == known:
        return ANONYMOUS if key in book.untold else 0
    first = not book.ties.get(key) and not (unvouched and book.ties.get((anonymous, False)))
    book.add_tie(key, time, known)
    if not first:
        return 0
    follows = 0
    if book.is_lone(anonymous, unvouched):
        book.untold.add(key)
        follows = ANONYMOUS
    if _take_over(book, key, (known, unvouched)):
        follows |= CONTACT | (OWN if said.named is None and book.is_lone(known, unvouched) else 0)
    return follows


def _take_over(book: IdentityBook, anonymous: Known, known: Known) -> bool:
    """Take over an anonymous user's group calls and traits. Returns whether there were any."""
    own = {time for time, _ in book.groups.get(known, ())}
    groups = [entry for entry in book.groups.get(anonymous, ()) if entry[0] not in own]
    for time, group in groups:
        book.add_group(known, time, group)
    traits = book.traits.get(anonymous)
    if traits:
        theirs = book.traits.pop(known, {})
        book.add_traits(known, traits)
        book.add_traits(known, theirs)
    return bool(groups or traits)


def _followed(said: IdentityCall, book: IdentityBook, person: str, follows: int) -> Placement:
    event = said.event
    placed = Placement(event)
    if follows & CONTACT:
        placed.contact = _contact(said, person, book.traits.get((person, said.unvouched), {}))
    lone = [person] if follows & OWN else []
    if follows & ANONYMOUS and said.anonymous is not None:
        lone.append(said.anonymous)
    into = event.account or ""
    placed.merges = [_merge(event, account, into, person) for account in lone if account != into]
    if follows & LATE and event.time is not None:
        belongs = _belongs(book, person, microseconds(event.time), said.unvouched)
        if belongs is not None and belongs[0] != person:
            placed.merges.append(_merge(event, person, *belongs))
    return placed


def _contact(said: IdentityCall, person: str, traits: dict[str, Any]) -> Event:
    """The update that makes the user a contact of the account, with all that is known; its id follows
    from the call's."""
    name = said.name
    return msgspec.structs.replace(
        said.event,
        type="contact.updated",
        id="" if name is None else f"contact-{name.hex()}",
        contact=person,
        data=dict(traits),
    )


def _merge(event: Event, account: str, into: str, contact: str) -> Event:
    """The merge of a lone account, whose user is this contact there; the same one whenever it is asked for."""
    return msgspec.structs.replace(
        event,
        type=MERGED,
        id=f"merge-{digest(account, into).hex()}",
        account=account,
        contact=None,
        data={"into": into, "lone": True, "contact": contact},
    )
