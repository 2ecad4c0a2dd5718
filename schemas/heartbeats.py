"""The heartbeats that a rule's `alive` asks for, and the record by which partitions tell one another of them. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from schemas.duration import parse_duration
from schemas.event import SOURCE_SEEN, Event, from_microseconds, is_reserved, microseconds, rfc3339
from schemas.rule import Alive

SECOND = 1_000_000
RUNS_AT_ONCE = 500  # runs in one record
Run = tuple[int, int]  # the first and the last event of a run, in microseconds


class AliveClause(NamedTuple):
    """A rule's `alive`: sorted event types (or `*` alone), and how long may pass between two such events."""

    types: tuple[str, ...]
    within: int

    @property
    def key(self) -> str:
        """A digest that names the clause, the same in every process."""
        return blake2b(repr((self.types, self.within)).encode(), digest_size=12).hexdigest()

    def is_finer(self, other: "AliveClause") -> bool:
        """Whether its silences tell all silences of the other clause: the same events, and no longer `within`."""
        return self.types == other.types and self.within <= other.within

    def listens(self, type_: str) -> bool:
        """Whether an event of this type shows that the source works."""
        return not is_reserved(type_) if self.types == ("*",) else type_ in self.types


def clause_of(alive: Alive) -> AliveClause:
    """The clause in a rule."""
    named = [alive.event] if isinstance(alive.event, str) else alive.event
    return AliveClause(tuple(sorted(set(named))), parse_duration(alive.within))


class Seen(msgspec.Struct):
    """The data of a `SOURCE_SEEN` record."""

    event: list[str]
    within: int
    runs: list[tuple[datetime, datetime]]


def records_of(clause: AliveClause, runs: Sequence[Run], *, name: str, at: int) -> Iterable[Event]:
    """The records that tell of these runs; their ids follow from `name`."""
    for start in range(0, len(runs), RUNS_AT_ONCE):
        told = [[rfc3339(first), rfc3339(last)] for first, last in runs[start : start + RUNS_AT_ONCE]]
        data = {"event": list(clause.types), "within": clause.within // SECOND, "runs": told}
        yield Event(
            id=f"{name}-{start // RUNS_AT_ONCE}",
            source="touchline",
            type=SOURCE_SEEN,
            time=from_microseconds(at),
            data=data,
        )


def seen_of(event: Event) -> tuple[AliveClause, list[Run]] | None:
    """What a `SOURCE_SEEN` record tells; None if it cannot be read."""
    try:
        seen = msgspec.convert(event.data, Seen)
        runs = [(microseconds(first), microseconds(last)) for first, last in seen.runs]
    except (msgspec.ValidationError, TypeError):
        return None  # a time without an offset cannot be compared
    clause = AliveClause(tuple(sorted(set(seen.event))), seen.within * SECOND)
    return clause, [(first, last) for first, last in runs if first <= last]
