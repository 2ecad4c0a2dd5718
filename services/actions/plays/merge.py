"""The merged order of the two topics: event o, then the triggers decided at o, then event o + 1.

The topics share no order, but each trigger names the position at which it was decided, and rules writes its progress
to the topic of triggers. So an event is let through once rules is known to be past it, and a trigger once the event
at its position has been let through. However the two topics are read, the same order comes out. Pure.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from schemas.event import Event
from schemas.trigger import Moved, Trigger


@dataclass(frozen=True, slots=True)
class EventItem:
    """A record of touchline.events; `event` is None if the record could not be read."""

    offset: int
    timestamp: int
    event: Event | None


@dataclass(frozen=True, slots=True)
class TriggerItem:
    """A record of touchline.triggers with a trigger, or with a decision about a merge of accounts.

    `offset` is the record's own offset on that topic.
    """

    offset: int
    trigger: Trigger | Moved


class MergedOrder:
    """The two queues of one partition."""

    def __init__(self, *, next_event: int = 0, next_trigger: int = 0, past: int = 0) -> None:
        self.next_event = next_event  # offset of the first event not yet taken
        self.past = past  # rules is past every event before this offset
        self._read_trigger = next_trigger  # offset after the last record that was read of touchline.triggers
        self._events: deque[EventItem] = deque()
        self._triggers: deque[TriggerItem] = deque()

    @property
    def next_trigger(self) -> int:
        """The offset on touchline.triggers at which to read on after a restart."""
        return self._triggers[0].offset if self._triggers else self._read_trigger

    @property
    def kept_past(self) -> int:
        """The part of `past` on which a restart may rely: no event may overtake a trigger that is read again."""
        return min(self.past, self._triggers[0].trigger.position.offset + 1) if self._triggers else self.past

    @property
    def waiting_events(self) -> int:
        """How many events have been read and not yet taken."""
        return len(self._events)

    @property
    def waiting_triggers(self) -> int:
        """How many triggers have been read and not yet taken."""
        return len(self._triggers)

    def offer_events(self, items: Iterable[EventItem]) -> None:
        """Add records of touchline.events, in order; those taken already are left out."""
        self._events.extend(item for item in items if item.offset >= self.next_event)

    def offer_trigger(self, item: TriggerItem) -> None:
        """Add a trigger. One at an earlier position than the last is a repeat after a crash, and does no harm."""
        if item.offset < self._read_trigger:
            return
        self._read_trigger = item.offset + 1
        self._triggers.append(item)
        # Triggers are written in the order of their positions: every one that belongs before this has been read.
        self.past = max(self.past, item.trigger.position.offset + 1)

    def offer_progress(self, offset: int, past: int) -> None:
        """Note rules' progress, read at `offset` of touchline.triggers; `past` is 0 if the record was unreadable."""
        if offset < self._read_trigger:
            return
        self._read_trigger = offset + 1
        self.past = max(self.past, past)

    def head(self) -> EventItem | TriggerItem | None:
        """The next item in order, if it is known."""
        event = self._events[0] if self._events else None
        if self._triggers:
            place = self._triggers[0].trigger.position.offset
            if place < self.next_event or (event is not None and event.offset > place):
                return self._triggers[0]
        return event if event is not None and event.offset < self.past else None

    def take(self) -> None:
        """Remove the head, which has been applied."""
        head = self.head()
        if isinstance(head, TriggerItem):
            self._triggers.popleft()
        elif head is not None:
            self._events.popleft()
            self.next_event = head.offset + 1

    def ahead(self, limit: int) -> tuple[list[EventItem], list[TriggerItem]]:
        """The items that may be taken soon: at most `limit` events that rules is past, and triggers."""
        events = [item for item in islice(self._events, limit) if item.offset < self.past]
        return events, list(islice(self._triggers, limit))

    def caught_up(self) -> bool:
        """Whether every offered event has been taken, and every trigger that rules decided up to there."""
        return not self._events and not self._triggers and self.past >= self.next_event

    def repeated(self, item: TriggerItem) -> bool:
        """Whether a trigger is certainly a repeat: its position had been passed before it was read."""
        return item.trigger.position.offset < self.next_event - 1
