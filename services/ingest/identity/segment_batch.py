"""The Segment calls of one request on their way through the acceptor: checked, placed, and marked once
they are durable."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from schemas.event import Event
from services.ingest.decoding.events import Decoded, Refusal
from services.ingest.decoding.validation import EventValidator
from services.ingest.formats.base import Item
from services.ingest.identity.placement import IdentityCall, Placement
from services.ingest.identity.store import IdentityStore
from services.ingest.thread_pools import at_the_door


class SegmentBatch:
    """Belongs to the event loop, for one request."""

    def __init__(self, said: Sequence[Item], identities: IdentityStore) -> None:
        self._said = said
        self._identities = identities
        self._merges: list[Event] = []

    async def place(self, door: EventValidator) -> Iterable[tuple[int, Decoded | None]]:
        """Each call's events, or its refusal, with the call's index. A refused call says nothing of its user."""
        checked = [_checked(door, index, one) for index, one in enumerate(self._said)]
        good = [one for one in checked if isinstance(one, IdentityCall)]
        placed = await at_the_door(self._identities.place, good) if good else []
        self._merges = [merge for one in placed for merge in one.merges]
        return _items(checked, iter(placed))

    async def told(self) -> None:
        """Note that everything is on the log."""
        if self._merges:
            await at_the_door(self._identities.told, self._merges)


def _checked(door: EventValidator, index: int, one: Item) -> Item:
    if not isinstance(one, IdentityCall):
        return one
    refusal = door.check(index, one.event)
    if isinstance(refusal, Refusal):
        return refusal
    if one.event.type == "contact.updated":
        one.traits = one.event.data
    elif one.traits is not None:
        update = msgspec.structs.replace(
            one.event, type="contact.updated", contact=one.user or None, data=one.traits
        )
        one.traits = None if isinstance(door.check(index, update), Refusal) else update.data
    return one


def _items(checked: Sequence[Item], placed: Iterator[Placement]) -> Iterator[tuple[int, Decoded | None]]:
    for index, one in enumerate(checked):
        if not isinstance(one, IdentityCall):
            yield index, one
            continue
        found = next(placed)
        yield index, found.event
        if found.contact is not None:
            yield index, found.contact
        for merge in found.merges:
            yield index, merge
