"""One partition's memory of the events that an `alive` clause asks for, and what follows for deadlines and ticks.

All that matters of these events are their runs: stretches of time in which no two of them are more than `within`
apart. Between two runs lies a silence. The runs are the same in whichever order the events come, and telling another
partition of a run twice changes nothing.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from enum import Enum

import msgspec

from schemas.heartbeats import AliveClause, Run
from services.rules.engine.windows.series import DAY

MAX_RUNS = 1_000  # beyond it, the oldest two silences become one
TENTH = 10  # others are told once in a tenth of `within`, and a window may be silent for a tenth of it


class Change(Enum):
    """What an event has changed."""

    NOTHING = 0
    LATER = 1  # the newest run goes on
    SILENCES = 2  # a silence has ended, or what looked like one is shorter or gone


class _Stored(msgspec.Struct, array_like=True):
    types: list[str]
    within: int
    told: int | None
    starts: list[int]
    ends: list[int]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


class Heartbeat:
    """The runs of one clause, oldest first, in microseconds. `told`: the newest time that other partitions know."""

    __slots__ = ("clause", "ends", "starts", "told")

    def __init__(self, clause: AliveClause) -> None:
        self.clause = clause
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.told: int | None = None

    @property
    def last(self) -> int | None:
        """The newest event; None: there has never been one, so nothing is guarded."""
        return self.ends[-1] if self.ends else None

    # -- events ----------------------------------------------------------------------------------------------

    def hear(self, first: int, last: int) -> Change:
        """Count a run of events (one event: `first` and `last` are its time)."""
        starts, ends, within = self.starts, self.ends, self.clause.within
        if ends and starts[-1] <= first <= ends[-1] + within:  # the usual case
            if last <= ends[-1]:
                return Change.NOTHING
            ends[-1] = last
            return Change.LATER
        low, high = bisect_left(ends, first - within), bisect_right(starts, last + within)
        if low < high:
            if starts[low] <= first and last <= ends[low]:
                return Change.NOTHING
            first, last = min(first, starts[low]), max(last, ends[high - 1])
        starts[low:high], ends[low:high] = [first], [last]
        if len(starts) > MAX_RUNS:  # to be silent for too long holds back; it never lets anything through
            del starts[1], ends[1]
        return Change.SILENCES

    def untold(self, at: int, change: Change) -> list[Run]:
        """What to tell the other partitions after our own event at `at`; from now on they know it."""
        told, tenth = self.told, self.clause.within // TENTH
        if change is Change.NOTHING or (change is Change.LATER and told is not None and at - told < tenth):
            return []
        place = bisect_right(self.starts, at) - 1
        found = [(self.starts[place], self.ends[place])]
        if place and told is not None and self.starts[place - 1] <= told < self.ends[place - 1]:
            found.insert(0, (self.starts[place - 1], self.ends[place - 1]))
        self.told = self.ends[place] if told is None else max(told, self.ends[place])
        return found

    def tail(self, first: int) -> list[Run]:
        """What to tell the others before a run of theirs, since without our newest event they would see a silence."""
        told, last = self.told, self.last
        if told is None or last is None or not told < last < first or first - told <= self.clause.within:
            return []
        self.told = last
        return [(self.starts[-1], last)]

    def runs(self) -> list[Run]:
        """All runs."""
        return list(zip(self.starts, self.ends, strict=True))

    def take(self, other: "Heartbeat") -> None:
        """Count what another clause with the same events has heard."""
        for first, last in other.runs():
            self.hear(first, last)
        self.told = other.told

    # -- silences --------------------------------------------------------------------------------------------

    def silences(self, since: int, until: int) -> Iterable[Run]:
        """The silences that overlap a stretch of time, oldest first, each from event to event."""
        place = bisect_right(self.starts, since)
        for one in range(max(1, place), len(self.starts)):
            if self.ends[one - 1] >= until:
                return
            yield self.ends[one - 1], self.starts[one]

    def silent_in(self, since: int, until: int) -> int:
        """How much of a stretch of time lies in silences."""
        return sum(min(end, until) - max(begin, since) for begin, end in self.silences(since, until))

    def silent_up_to(self, since: int, now: int) -> int:
        """How much of the time up to now lies in silences, the one that is not over included."""
        open_ = now - max(since, self.ends[-1]) if now >= self.silent_from else 0
        return self.silent_in(since, now) + open_

    def deadline(self, armed: int, span: int) -> int:
        """The deadline of a wait, moved by the silences after its arming, as far as they are over."""
        due = armed + span
        for place in range(max(1, bisect_right(self.starts, armed)), len(self.starts)):
            begin, end = self.ends[place - 1], self.starts[place]
            if begin >= due:
                break
            due += end - max(begin, armed)
        return due

    def passes_over(self, tick: int, windows: Iterable[Run]) -> bool:
        """Whether a tick that can be decided is passed over."""
        return self.ends[-1] <= tick or self.was_silent(tick, windows)

    def was_silent(self, tick: int, windows: Iterable[Run]) -> bool:
        """Whether a silence that is over touches the day before a tick, or makes up more than a tenth of a window."""
        place = bisect_left(self.starts, tick - DAY, lo=min(1, len(self.starts)))
        if place < len(self.starts) and self.ends[place - 1] <= tick:
            return True
        return any(self.silent_in(since, until) * TENTH > until - since for since, until in windows)

    @property
    def silent_from(self) -> int:
        """The first moment at which, without another event, the source is known to be silent."""
        return self.ends[-1] + self.clause.within + 1

    def settles(self, at: int, now: int) -> bool:
        """Whether a moment can be decided: a later event has come, or it is known that none came in time."""
        return self.ends[-1] > at or now >= self.silent_from

    def fires(self, due: int, now: int) -> bool:
        """Whether a deadline can be decided, and does not lie in a silence that is not over."""
        return self.ends[-1] > due or (self.ends[-1] == due and now >= self.silent_from)

    # -- storing ---------------------------------------------------------------------------------------------

    def stored(self) -> bytes:
        """The heartbeat as bytes."""
        types, within = self.clause
        return _encode(_Stored(list(types), within, self.told, self.starts, self.ends))

    @classmethod
    def restored(cls, blob: bytes) -> "Heartbeat":
        """The heartbeat from its bytes."""
        found = _decode(blob)
        made = cls(AliveClause(tuple(found.types), found.within))
        made.told, made.starts, made.ends = found.told, found.starts, found.ends
        return made
