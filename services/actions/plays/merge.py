"""One order out of two topics: event o, then the triggers decided at o, then event o + 1.

The topics share no order, but a trigger names the place at which it was decided, and rules writes onto the
topic of triggers how far it has come. So an event is let through once rules is known to be past it, and a
trigger once the event of its place has been. However the two are read, the same order comes out. Pure.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from schemas.event import Event
from schemas.trigger import Moved, Trigger


@dataclass(frozen=True, slots=True)
class EventItem:
    """A record of touchline.events; `event` is None for what could not be read."""

    offset: int
    timestamp: int
    event: Event | None


@dataclass(frozen=True, slots=True)
class TriggerItem:
    """A record of touchline.triggers that carries a trigger, or what was decided about a merge of accounts; `offset` is
    its own place on that topic."""

    offset: int
    trigger: Trigger | Moved


class MergedOrder:
    """The two queues of one partition."""

    def __init__(self, *, next_event: int = 0, next_trigger: int = 0, past: int = 0) -> None:
        self.next_event = next_event  # offset of the first event not yet taken
        self.past = past  # rules is past every event before this offset
        self._read_trigger = next_trigger  # offset after the last record read of touchline.triggers
        self._events: deque[EventItem] = deque()
        self._triggers: deque[TriggerItem] = deque()

    @property
    def next_trigger(self) -> int:
        """The offset on touchline.triggers at which to read on after a restart."""
        return self._triggers[0].offset if self._triggers else self._read_trigger

    @property
    def kept_past(self) -> int:
        """What of `past` a restart may rely on: no event is to overtake a trigger that is yet to be read anew."""
        return min(self.past, self._triggers[0].trigger.position.offset + 1) if self._triggers else self.past

    @property
    def waiting_events(self) -> int:
        """Events read and not yet taken."""
        return len(self._events)

    @property
    def waiting_triggers(self) -> int:
        """Triggers read and not yet taken."""
        return len(self._triggers)

    def offer_events(self, items: Iterable[EventItem]) -> None:
        """Records of touchline.events, in order; those taken already are left out."""
        self._events.extend(item for item in items if item.offset >= self.next_event)

    def offer_trigger(self, item: TriggerItem) -> None:
        """A trigger read; one at an earlier place than the last is a repeat after a crash, and does no harm."""
        if item.offset < self._read_trigger:
            return
        self._read_trigger = item.offset + 1
        self._triggers.append(item)
        # Triggers are written in the order of their places: whatever belongs before this one has been read.
        self.past = max(self.past, item.trigger.position.offset + 1)

    def offer_progress(self, offset: int, past: int) -> None:
        """A record of progress (or one that could not be read: `past` 0) at `offset` of touchline.triggers."""
        if offset < self._read_trigger:
            return
        self._read_trigger = offset + 1
        self.past = max(self.past, past)

    def head(self) -> EventItem | TriggerItem | None:
        """What comes next, if that is known."""
        event = self._events[0] if self._events else None
        if self._triggers:
            place = self._triggers[0].trigger.position.offset
            if place < self.next_event or (event is not None and event.offset > place):
                return self._triggers[0]
        return event if event is not None and event.offset < self.past else None

    def take(self) -> None:
        """The head has been applied."""
        head = self.head()
        if isinstance(head, TriggerItem):
            self._triggers.popleft()
        elif head is not None:
            self._events.popleft()
            self.next_event = head.offset + 1

    def ahead(self, limit: int) -> tuple[list[EventItem], list[TriggerItem]]:
        """What may be taken soon: at most `limit` events that rules is past, and triggers."""
        events = [item for item in islice(self._events, limit) if item.offset < self.past]
        return events, list(islice(self._triggers, limit))

    def caught_up(self) -> bool:
        """Whether every event that was offered has been taken, and every trigger of rules' progress up to there."""
        return not self._events and not self._triggers and self.past >= self.next_event

    def repeated(self, item: TriggerItem) -> bool:
        """Whether a trigger is certainly a repeat: its place was left behind before it was read."""
        return item.trigger.position.offset < self.next_event - 1
