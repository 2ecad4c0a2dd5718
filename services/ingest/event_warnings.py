"""Warnings about accepted events that are probably not meant so.

They concern values that no reader can use, fields of updates that nothing reads, and events that are late or dated
ahead.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from backbone.database import Database
from backbone.documents import registry
from backbone.documents.registry import Place
from schemas.event import LATE_US, Event, from_microseconds
from schemas.lint.outline import Outline
from schemas.lint.unread_fields import unread
from schemas.lint.values import DoubtfulValue, Readers
from schemas.updates import UPDATES
from services.ingest.acceptor import Accepted
from services.ingest.cached_reads import MAX_AGE_S, CachedRead
from services.ingest.decoding.events import Decoded

KINDS = ("rule", "playbook", "tiers")
MOST = 100  # warnings per request
Warned = dict[str, Any]  # {index, field, message}
_NEVER = datetime(1, 1, 1, tzinfo=UTC)  # with the log clock no event is late: event times are the clock
_LATE = (
    "is more than 7 days behind its receipt: behind an account's newest event by so much it counts in no window; "
    "historical: true marks a backfill"
)
_AHEAD = "was more than 5 minutes ahead of receipt: it is set to the receipt, and kept as originaltime"


class _Board(NamedTuple):
    versions: Mapping[Place, int]
    outlines: Mapping[Place, Outline]
    readers: Readers


class EventWarnings:
    """Makes the warnings for the answers, from the outline registry. While the registry is away, there are none."""

    def __init__(self, db: Database, *, wall: bool) -> None:
        self._db = db
        self._wall = wall
        nothing = _Board({}, {}, Readers())
        self._board = CachedRead(self._read, nothing, changing=lambda: registry.changes.within(2 * MAX_AGE_S))

    def _read(self, before: _Board) -> _Board:
        with self._db.read() as conn:
            versions = registry.versions_of(conn, KINDS)
            if versions == before.versions:
                return before
            new = [place for place, version in versions.items() if before.versions.get(place) != version]
            known = {place: one for place, one in before.outlines.items() if place in versions}
            known |= registry.read(conn, new)
        return _Board(versions, known, Readers(known.values()))

    async def about(self, items: Sequence[Decoded | None], taken: Accepted) -> list[Warned]:
        """The warnings about the accepted events, at most `MOST`."""
        readers = (await self._board.get()).readers
        late = from_microseconds(taken.received - LATE_US) if self._wall else _NEVER
        if not (taken.rejected or taken.ahead) and not _any_doubt(items, readers, late):
            return []
        refused = {index for index, _ in taken.rejected}
        found = [_of_time(index, _AHEAD) for index in taken.ahead if index not in refused]
        for index, item in enumerate(items):
            if index in refused or not isinstance(item, Event):
                continue
            if item.time is not None and item.time <= late and not item.historical:
                found.append(_of_time(index, _LATE))
            if item.type in UPDATES:
                found += _told(index, islice(unread(item), MOST))
            if readers.concern(item.type):
                found += _told(index, readers.doubts(item))
        return sorted(found, key=lambda one: one["index"])[:MOST]


def _any_doubt(items: Sequence[Any], readers: Readers, late: datetime) -> bool:
    """Whether any event is late, is an update, or has a type that somebody reads. All were accepted."""
    types = {item.type for item in items if item is not None}
    return (
        not UPDATES.isdisjoint(types)
        or any(map(readers.concern, types))
        or any(item.time <= late for item in items if item is not None)
    )


def _of_time(index: int, message: str) -> Warned:
    return {"index": index, "field": "time", "message": message}


def _told(index: int, found: Iterable[DoubtfulValue]) -> list[Warned]:
    return [{"index": index, "field": f"data.{one.path}", "message": one.message} for one in found]
