"""Plays one partition's records and triggers, on the log clock. Pure.

Touchline's own events follow what caused them. Of those on the log only what people did counts (a task completed, a
bounce): all others tell of plays that were, and not of these.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from schemas.event import (
    BY_PEOPLE,
    CLOCK,
    OWN_PREFIX,
    Event,
    Malformed,
    decode,
    from_microseconds,
    microseconds,
)
from schemas.forwarding import ERASED
from schemas.trigger import Moved, Trigger
from services.actions.plays.merge import EventItem, MergedOrder, TriggerItem
from services.actions.plays.model import SOURCE, OwnEvent
from services.actions.plays.ports import Library
from services.actions.plays.processor import PlaysPartition
from services.actions.rehearsal.kept import KeptRecord
from services.actions.rehearsal.limit import LaneHolds
from services.actions.rehearsal.order import Turn
from services.actions.rehearsal.stage import Stage


class OneByOne(MergedOrder):
    """A queue of one item: whoever offers them has put them in order already."""

    def __init__(self) -> None:
        super().__init__()
        self._item: EventItem | TriggerItem | None = None

    def put(self, item: EventItem | TriggerItem) -> None:
        """Offer the next item."""
        self._item = item

    def head(self) -> EventItem | TriggerItem | None:
        return self._item

    def take(self) -> None:
        self._item = None

    def repeated(self, item: TriggerItem) -> bool:  # noqa: ARG002
        return False


class Player:
    """The plays of one partition."""

    def __init__(self, number: int, stage: Stage, library: Library, playbook: str, holds: LaneHolds) -> None:
        self._number, self._stage, self._library, self._playbook = number, stage, library, playbook
        self._holds = holds
        self._order = OneByOne()
        self._plays = PlaysPartition(
            number, mode="log", store=stage, library=library, merge=self._order, holds=holds
        )

    def play(self, turns: Iterable[Turn]) -> None:
        """Play them one after the other."""
        for turn in turns:
            self.carry(turn.clock)
            match turn.what:
                case KeptRecord():
                    self._record(turn.what)
                case Trigger():
                    self._decided(msgspec.structs.replace(turn.what, playbook=self._playbook, shadow=False))
                    self._plays.answered.clear()
                case Moved():
                    self._decided(turn.what)

    def carry(self, clock: int) -> None:
        """Carry the clock to a time: the waits that fall due until then are over."""
        self._trip_before(clock)
        if clock > self._plays.clock:
            self._event(Event(type=CLOCK, time=from_microseconds(clock)), 0, clock)

    def look_back(self, since: int) -> None:
        """Let the mails of digests begin whose moments, from `since` on, are past."""
        self._plays.look_back(since)

    def _trip_before(self, clock: int) -> None:
        """Pause everything if the breaker trips, in whatever partition, before the clock is there."""
        at = self._holds.trips_at
        if at is not None and clock > at:
            self._holds.trips_at = None
            self.carry(at)
            self._holds.pause()

    def _record(self, record: KeptRecord) -> None:
        place = f"touchline.events/{self._number}/{record.offset}"
        try:
            event = decode(record.value, place=place, timestamp=record.received)
        except Malformed:
            return
        if event.type.startswith(OWN_PREFIX) and event.type not in BY_PEOPLE and event.type != ERASED:
            return
        if event.time is not None and microseconds(event.time) != record.time:
            event.time = from_microseconds(record.time)
        if not event.type.startswith(OWN_PREFIX):
            self._trip_before(record.time)
        self._stage.heard(event)
        self._event(event, record.offset, record.received)

    def _event(self, event: Event, offset: int, received: int) -> None:
        told = deque([event])
        while told:
            self._order.put(EventItem(offset, received, told.popleft()))
            self._run()
            told.extend(_event_of(one) for one in self._stage.drain())

    def _decided(self, decided: Trigger | Moved) -> None:
        self._order.put(TriggerItem(0, decided))
        self._run()
        for one in self._stage.drain():
            self._event(_event_of(one), decided.position.offset, one.time)

    def _run(self) -> None:
        while self._plays.step():
            pass


def _event_of(told: OwnEvent) -> Event:
    return Event(
        id=told.id,
        source=SOURCE,
        type=told.type,
        account=told.account,
        contact=told.contact,
        time=from_microseconds(told.time),
        data=told.data,
    )
