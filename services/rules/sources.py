"""Which sources are silent now: the heartbeats of all partitions together."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from schemas.duration import UNITS_US
from schemas.event import rfc3339
from services.rules.engine.heartbeats import Heartbeat
from services.rules.storage import queries


class SourceState(NamedTuple):
    """A clause of rules' `alive`, its newest event in any partition, and whether it is silent."""

    types: tuple[str, ...]
    within: int
    last: int
    silent: bool

    @property
    def name(self) -> str:
        """The event types, as a rule names them."""
        return ", ".join(self.types)


def sources(heartbeats: Mapping[int, Mapping[str, Heartbeat]], now: int) -> Iterator[SourceState]:
    """Every source of which something was ever heard, by partitions' heartbeats. Times are in microseconds."""
    newest: dict[str, Heartbeat] = {}
    for heart in [heart for hearts in heartbeats.values() for heart in hearts.values()]:
        known = newest.get(heart.clause.key)
        if heart.last is not None and (known is None or known.last is None or known.last < heart.last):
            newest[heart.clause.key] = heart
    for key in sorted(newest, key=lambda key: newest[key].clause):
        heart = newest[key]
        if heart.last is not None:
            yield SourceState(*heart.clause, heart.last, now >= heart.silent_from)


def heartbeats_of(conn: Connection, partition: int | None = None) -> dict[int, dict[str, Heartbeat]]:
    """Every partition's heartbeats, or one partition's, by the key of their clause."""
    found: dict[int, dict[str, Heartbeat]] = {}
    for number, blob in queries.load_heartbeats(conn, partition):
        heart = Heartbeat.restored(blob)
        found.setdefault(number, {})[heart.clause.key] = heart
    return found


def trouble(found: Iterable[SourceState]) -> dict[str, Any]:
    """The part of `/v1/status` about sources that are silent; empty if none is."""
    silent = [
        {"event": list(one.types), "within": written(one.within), "since": rfc3339(one.last)}
        for one in found
        if one.silent
    ]
    return {"silent": silent} if silent else {}


def written(us: int) -> str:
    """A span of whole seconds as rules write it, in the largest unit that fits."""
    unit, size = next((unit, size) for unit, size in UNITS_US if us % size == 0)
    return f"{us // size}{unit}"
