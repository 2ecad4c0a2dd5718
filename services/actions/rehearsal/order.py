"""The order in which a partition's records and triggers are played. Pure.

The historical records come first, in time order, then all others in the order of the log: a backtest reads them so.
A trigger comes after the record at which it was decided. A moment (a deadline, a date, a tick) of the historical part
may name any record as its place, so it is put where the clock first reaches its time.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from heapq import merge
from typing import Any, NamedTuple

from schemas.event import instant
from schemas.trigger import Moved, Trigger
from services.actions.rehearsal.kept import Kept, KeptRecord

LAST = 1 << 62


class Turn(NamedTuple):
    """What is played next, once the clock is at `clock`: a record, a trigger, or a decision about a merge."""

    clock: int
    what: KeptRecord | Trigger | Moved


def turns(kept: Kept, until: int | None = None) -> Iterator[Turn]:
    """All that is played, in order; nothing that comes after `until`."""
    limit = LAST if until is None else until
    order = _Order(kept)
    for turn in (*order.past(), *order.live()):
        if turn.clock <= limit:
            yield turn


class _Order:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._past: list[Any] = []
        self._live: list[Any] = []
        self._past_records, self._live_records = kept.in_order()
        clocks = [max(one.before, one.time) for one in self._live_records]
        offsets = [one.offset for one in self._live_records]
        reached: list[tuple[int, int]] = []  # offset of each live trigger, and the clock there
        for number, trigger in enumerate(kept.triggers()):
            at, offset = instant(trigger.at), trigger.position.offset
            historical, there = kept.place(offset)
            if historical and at <= kept.newest_past:
                # One that did not fire at the record is a moment, and comes before the records of its time.
                key: tuple[int, ...] = (at, 1, offset, 1, number) if there == at else (at, 0, LAST, 1, number)
                self._past.append((key, Turn(at, trigger)))
                continue
            clock = at if historical else max(at, there)
            slot = bisect_left(clocks, at) if historical else bisect_right(offsets, offset)
            self._live.append(((slot, clock, offset, at, number), Turn(clock, trigger)))
            if not historical:
                reached.append((offset, clock))
        for number, moved in enumerate(kept.moved):
            offset = moved.position.offset
            clock = max((clock for place, clock in reached if place <= offset), default=0)
            slot = bisect_right(offsets, offset)
            self._live.append(((slot, clock, offset, LAST, number), Turn(0, moved)))
        self._past.sort(key=_key)
        self._live.sort(key=_key)

    def past(self) -> Iterator[Turn]:
        records = (
            ((one.time, int(not one.first), one.offset, 0, 0), Turn(one.before, one))
            for one in self._past_records
        )
        return (turn for _, turn in merge(records, self._past, key=_key))

    def live(self) -> Iterator[Turn]:
        """The live part; the clock starts where the historical one left it."""
        # Triggers of slot n come before record n; `LAST` puts the record behind them.
        floor = self._kept.newest_past
        records = (
            ((number, LAST, 0, 0, 0), Turn(max(floor, one.before), one))
            for number, one in enumerate(self._live_records)
        )
        return (
            turn._replace(clock=max(floor, turn.clock)) for _, turn in merge(records, self._live, key=_key)
        )


def _key(entry: Any) -> Any:
    return entry[0]
