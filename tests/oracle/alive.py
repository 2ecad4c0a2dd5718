"""A rule's `alive` (section 11): the silences of its source, and what they do to deadlines and daily ticks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.oracle import windows
from tests.oracle.times import DAY, span

JSON = dict[str, Any]
Clause = tuple[tuple[str, ...], int]  # event types, `within` in us
Beats = dict[Clause, list[int]]  # the times of the events that each clause has heard, in any order


@dataclass(frozen=True)
class Source:
    """The events that a clause has heard, at least one, by time."""

    times: list[int]
    within: int

    @property
    def last(self) -> int:
        return self.times[-1]

    @property
    def silences(self) -> list[tuple[int, int]]:
        """From an event to the next one, if that is more than `within` later."""
        return [(a, b) for a, b in pairwise(self.times) if b - a > self.within]

    def silent(self, now: int) -> bool:
        """Whether it is known now that nothing came for more than `within`."""
        return now > self.last + self.within

    def moved(self, arm: int, length: int) -> int:
        """The moment by which so much time has passed since the arm outside of silences."""
        at, left = arm, length
        for begin, end in self.silences:
            if end > arm:
                if left <= begin - at:
                    return at + left
                left -= max(0, begin - at)
                at = max(at, end)
        return at + left

    def decides_deadline(self, at: int, now: int) -> bool:
        """Whether a deadline is known not to lie in a silence."""
        return self.last > at or (self.last == at and self.silent(now))

    def decides_tick(self, at: int, now: int) -> bool:
        return self.last > at or self.silent(now)

    def passes_over(self, at: int, looked_at: list[tuple[int, int]]) -> bool:
        """Whether a tick that can be decided is too close to silences."""
        silences = [*self.silences, (self.last, at + 1)] if self.last <= at else self.silences
        if any(begin <= at and end >= at - DAY for begin, end in silences):
            return True
        return any(self.within_silences(*window) * 10 > window[1] - window[0] for window in looked_at)

    def within_silences(self, low: int, high: int) -> int:
        return sum(max(0, min(end, high) - max(begin, low)) for begin, end in self.silences)

    def away(self, since: int, now: int) -> int:
        """How long it is since then, outside of silences."""
        running = now - max(since, self.last) if self.silent(now) else 0
        return now - since - self.within_silences(since, now) - running


def clause_of(rule: JSON) -> Clause | None:
    if "alive" not in rule:
        return None
    types = rule["alive"]["event"]
    named = [types] if isinstance(types, str) else types
    return tuple(sorted(set(named))), span(rule["alive"]["within"])


def hears(clause: Clause, type_: str) -> bool:
    return windows.of_type("*" if clause[0] == ("*",) else list(clause[0]), type_)


def saved(before: Beats, bodies: list[JSON]) -> Beats:
    """What is known after a save: all of a clause that was there, and what one with a shorter `within` says of it."""
    found: Beats = {}
    for clause in filter(None, map(clause_of, bodies)):
        same = sorted((other for other in before if _tells(other, clause)), key=lambda other: other[1])
        if clause in before:
            found[clause] = before[clause]
        elif clause not in found:
            found[clause] = _as_heard(before[same[0]], same[0][1], clause[1]) if same else []
    return found


def is_unheard(before: Beats, clause: Clause) -> bool:
    """Whether nobody has listened to these events as closely before."""
    return not any(_tells(other, clause) for other in before)


def _tells(known: Clause, clause: Clause) -> bool:
    return known[0] == clause[0] and known[1] <= clause[1]


def _as_heard(times: list[int], within: int, new: int) -> list[int]:
    """The times, with others in between where the old `within` had seen no silence."""
    times = sorted(times)
    more = [at for a, b in pairwise(times) if b - a <= within for at in range(a + new, b, new)]
    return times + more


def source_of(beats: Beats, rule: JSON) -> Source | None:
    """What guards a rule; None if it has no `alive`, or if no such event ever came."""
    clause = clause_of(rule)
    times = beats.get(clause) if clause is not None else None
    return Source(sorted(set(times)), clause[1]) if clause is not None and times else None
