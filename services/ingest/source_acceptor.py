"""Accepts the events of sources, which say whose they are by an external id, an address or a domain."""

from collections.abc import Sequence

import msgspec

from schemas.event import RESERVED, Event
from schemas.updates import UPDATES
from services.ingest.acceptor import SOURCE, Acceptor
from services.ingest.decoding.refusals import Code, Refusal
from services.ingest.decoding.validation import EventValidator
from services.ingest.identity.whose import Whose

_ANY = "?"  # stands for the account while an event is checked


class Went(msgspec.Struct, frozen=True):
    """The event is on the log, at each of these accounts."""

    accounts: tuple[str, ...]


class Parked(msgspec.Struct, frozen=True):
    """No account was found, or several by an address or a domain. The event is kept as `id` of `/v1/unmatched`."""

    id: str


Taken = Went | Parked | Refusal


class SourceAcceptor:
    """Belongs to the event loop."""

    def __init__(self, intake: Acceptor) -> None:
        self._intake = intake

    async def accept(self, items: Sequence[tuple[Event, Whose]], source: str) -> list[Taken]:
        """Make the events durable, each at the account that it belongs to. Returns what became of each, in order.

        The events have no account; their `source` and `id` (if any) are set. `source` is the name of the
        source's document. All that is `Went` or `Parked` is durable on return. An event that was accepted before
        (same `source` and `id`) goes where it went then.

        Raises `TooLarge` for more than 500 events, `RateLimited` and `LogUnavailable`: then the sender shall
        send all of them again, and what was accepted already counts once.
        """
        batch = _Batch(items)
        taken = await self._intake.take(
            [event for event, _ in items],
            source=SOURCE,
            key_id=f"source {source}",
            erasing=False,
            place=batch.place,
        )
        results: list[Taken] = list(batch.results)
        for index, refusal in taken.rejected:
            results[index] = refusal
        return results


class _Batch:
    """The events of one request. Only ids that make their account are followed so far; the rest counts as parked
    and is not kept yet."""

    def __init__(self, items: Sequence[tuple[Event, Whose]]) -> None:
        self._items = items
        self.results: list[Taken] = [Parked("")] * len(items)

    async def place(self, door: EventValidator) -> list[tuple[int, Event | Refusal]]:
        placed: list[tuple[int, Event | Refusal]] = []
        for index, (event, whose) in enumerate(self._items):
            refusal = checked(door, index, event)
            if refusal is not None:
                placed.append((index, refusal))
                continue
            account = (
                next((one.value for one in whose.ways if one.way == "id"), None) if whose.create else None
            )
            if account is not None:
                self.results[index] = Went((account,))
                placed.append((index, msgspec.structs.replace(event, account=account)))
        return placed


def checked(door: EventValidator, index: int, event: Event) -> Refusal | None:
    """Why an event whose account is not known yet is refused; None if it is not. Its id and time are set."""
    if event.type in RESERVED and event.type not in UPDATES:
        return Refusal(Code.RESERVED, "type", f"a source makes no {event.type}", event.id)
    event.account = _ANY
    found = door.check(index, event)
    event.account = None
    return found if isinstance(found, Refusal) else None
