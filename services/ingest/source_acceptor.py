"""Accepts the events of sources, which say whose they are by an external id, an address or a domain."""

from collections.abc import Sequence

import msgspec

from schemas.addresses import BadAddress, trimmed_address
from schemas.event import RESERVED, Event
from schemas.updates import UPDATES
from services.ingest.acceptor import SOURCE, Acceptor
from services.ingest.decoding.refusals import Code, Refusal
from services.ingest.decoding.validation import EventValidator
from services.ingest.gathering import Gathering
from services.ingest.identity.source_placement import (
    MAX_ACCOUNTS,
    MAX_ITEMS,
    Asked,
    Placed,
    SourcePlacement,
)
from services.ingest.identity.whose import Whose

_ANY = "?"  # stands for an account or contact that is not known yet while an event is checked
_TOO_MANY = f"belongs to more than {MAX_ACCOUNTS:,} accounts, or this request does"


class Went(msgspec.Struct, frozen=True):
    """The event is on the log, at each of these accounts."""

    accounts: tuple[str, ...]


class Parked(msgspec.Struct, frozen=True):
    """No account was found, or several by an address or a domain. The event is kept as `id` of `/v1/unmatched`, and
    goes to its account by itself once somebody says which that is."""

    id: str


Taken = Went | Parked | Refusal


class SourceAcceptor:
    """Belongs to the event loop."""

    def __init__(self, intake: Acceptor, placement: SourcePlacement) -> None:
        self._intake = intake
        self._places = Gathering(placement.place, MAX_ITEMS)

    async def accept(self, items: Sequence[tuple[Event, Whose]], source: str) -> list[Taken]:
        """Make the events durable, each at the accounts that it belongs to. Returns what became of each, in order.

        The events have no account; their `source` and, if they have one, their `id` are set. `source` here is the
        name of the source's document. All that is `Went` or `Parked` is durable on return. An event that was accepted
        before (same `source` and `id`, for at least 7 days) goes where it went then, and counts once.

        A `contact.updated` may name its contact by `Whose.contact_email` alone; if nobody at the account has that
        address, it makes a contact whose id is the address. Invalid addresses and the like in updates are left out
        and counted.

        Raises `TooLarge` for more than 500 events, `RateLimited`, `LogUnavailable` and `DatabaseUnavailable`: then
        the sender shall send all of them again, and what was accepted already counts once.
        """
        batch = _Batch(items, source, self._places)
        taken = await self._intake.take(
            [event for event, _ in items],
            source=SOURCE,
            key_id=f"source {source}",
            erasing=False,
            place=batch.place,
        )
        results = batch.results
        for index, refusal in taken.rejected:
            results[index] = refusal
        return [results[index] for index in range(len(items))]


class _Batch:
    """The events of one request."""

    def __init__(
        self, items: Sequence[tuple[Event, Whose]], source: str, places: Gathering[Asked, Placed]
    ) -> None:
        self._items = items
        self._source = source
        self._places = places
        self.results: dict[int, Taken] = {}

    async def place(self, door: EventValidator) -> list[tuple[int, Event | Refusal]]:
        """Each event once for each of its accounts, or its refusal, with the event's index."""
        placed: list[tuple[int, Event | Refusal]] = []
        good: dict[int, Asked] = {}
        for index, (event, whose) in enumerate(self._items):
            refusal = checked(door, index, event, whose)
            if refusal is None:
                good[index] = Asked(event, whose, self._source)
            else:
                placed.append((index, refusal))
        found = await self._places.run(list(good.values())) if good else []
        room = MAX_ACCOUNTS
        for index, one in zip(good, found, strict=True):
            room -= len(one.events)
            if room < 0:
                refusal = Refusal(Code.TOO_LARGE, "account", _TOO_MANY, good[index].event.id)
                placed.append((index, refusal))
                room += len(one.events)
                continue
            self.results[index] = _result(one)
            placed += [(index, event) for event in one.events]
        return sorted(placed, key=lambda each: each[0])


def _result(one: Placed) -> Went | Parked:
    return Went(tuple(each.account or "" for each in one.events)) if one.events else Parked(one.parked)


def checked(door: EventValidator, index: int, event: Event, whose: Whose) -> Refusal | None:
    """Why an event whose account is not known yet is refused; None if it is not. Its id and time are set."""
    if event.type in RESERVED and event.type not in UPDATES:
        return Refusal(Code.RESERVED, "type", f"a source makes no {event.type}", event.id or None)
    contact = event.contact
    event.account = _ANY
    if contact is None and whose.contact_email is not None and event.type == "contact.updated":
        if not _is_address(whose.contact_email):
            message = f"should be known by an address, not {whose.contact_email[:100]!r}"
            return Refusal(Code.INVALID, "contact", message, event.id or None)
        event.contact = _ANY
    found = door.check(index, event)
    event.account = None
    event.contact = contact or (None if event.contact == _ANY else event.contact)
    return found if isinstance(found, Refusal) else None


def _is_address(text: str) -> bool:
    try:
        trimmed_address(text)
    except BadAddress:
        return False
    return True
