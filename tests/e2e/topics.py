"""The records on a log's topics, and the orders and promises that must hold there whatever was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backbone.log import DEAD_LETTERS, EVENTS, TRIGGERS, Log, Record, partition_for
from schemas.event import CONTROL, OWN_PREFIX, Event, Malformed, decode
from schemas.forwarding import ABSORBED, ERASED
from schemas.trigger import Trigger, TriggerRecord

JSON = dict[str, Any]
NUMBERED = "s"  # begins the ids of events that are posted in the order of their numbers
_trigger_json = msgspec.json.Encoder().encode


@dataclass
class Posted:
    """How often each event is on the log.

    `events`: by account and id. `own`: Touchline's own, by id. `sent_on`: those that merges left for other accounts, by
    account and value.
    """

    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    sent_on: Counter[tuple[str, bytes]] = field(default_factory=Counter)


def records(log: Log, topic: str, partition: int) -> Iterator[Record]:
    """Every record that a partition holds now."""
    offset, end = log.start_offsets(topic)[partition], log.end_offsets(topic)[partition]
    while offset < end:
        found = log.read(topic, partition, offset, 5_000)
        if not found:
            return
        yield from found
        offset = found[-1].offset + 1


def readable(record: Record, partitions: int) -> Event | None:
    """The event in a record; None if it cannot be read."""
    try:
        event = decode(
            record.value,
            place=f"{record.topic}/{record.partition}/{record.offset}",
            timestamp=record.timestamp,
        )
    except Malformed:
        return None
    own = event.type in CONTROL or partition_for(event.account or "", partitions) == record.partition
    return event if own else None


def posted(log: Log) -> Posted:
    """Count all events. Fails if an account's events are in another order than they were posted in."""
    found = Posted()
    last: dict[str, int] = {}
    for partition in range(log.partitions):
        for record in records(log, EVENTS, partition):
            event = readable(record, log.partitions)
            if event is None:
                continue
            if event.mergedfrom is not None or event.type in (ABSORBED, ERASED):
                found.sent_on[event.account or "", record.value] += 1
                continue
            if event.type.startswith(OWN_PREFIX) and event.type not in CONTROL:
                found.own[event.id] += 1
                continue
            name = (event.account or "", event.id)
            if name not in found.events and event.id.startswith(NUMBERED):
                number, before = int(event.id.rpartition("-")[2]), last.get(name[0], -1)
                assert number > before, f"{name} lies behind number {before} of its account"
                last[name[0]] = number
            found.events[name] += 1
    return found


def relayed(log: Log, decided: dict[str, JSON]) -> int:
    """Check that every decided trigger is on its topic as it was decided, before rules says that it is past it.

    Returns how many records are repeats.
    """
    found: Counter[str] = Counter()
    for partition in range(log.partitions):
        past = 0
        for record in records(log, TRIGGERS, partition):
            body = msgspec.json.decode(record.value, type=TriggerRecord)
            if body.progress is not None:
                past = max(past, body.progress.offset)
            if body.trigger is None:
                continue
            one = body.trigger
            # Timers that fall due before an event are decided at the place before it.
            assert found[one.id] or one.position.offset >= past - 1, f"rules was past {one.id} untold"
            assert shown(one) == decided.get(one.id), f"on the topic {one}, decided {decided.get(one.id)}"
            found[one.id] += 1
    lost = decided.keys() - found.keys()
    assert not lost, f"{len(lost)} triggers are not on the topic: {sorted(lost)[:5]}"
    return found.total() - len(found)


def shown(trigger: Trigger) -> JSON:
    """A trigger as JSON."""
    made: JSON = msgspec.json.decode(_trigger_json(trigger))
    return made


def dead_letters(log: Log) -> list[Record]:
    """All dead letters."""
    return [r for partition in range(log.partitions) for r in records(log, DEAD_LETTERS, partition)]
