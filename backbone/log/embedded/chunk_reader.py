"""Reads the chunks of the embedded log's file, in the process that owns it or beside it.

A chunk's rowid is its place: the lane's number in the upper bits, the first record's offset in the lower 48.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from backbone.log.embedded.chunk_codec import DamagedChunk, decode
from backbone.log.embedded.sqlite_errors import is_damage, translated
from backbone.log.records import DAMAGED, Record

OFFSET_BITS = 48
LAST_OFFSET = (1 << OFFSET_BITS) - 1
CACHED_CHUNKS = 32
READ_BYTES = 16 << 20  # of values that one read returns, about; as a fetch from Kafka

_LANES = """
SELECT lane, topic, partition, start, next, timestamp, cast(coalesce(value, 0) AS INTEGER)
FROM lanes LEFT JOIN about ON name = 'summed ' || lane
"""


class StoredPartition(NamedTuple):
    """A partition of a topic in the file: offsets `start` to `next` - 1, the newest record's timestamp.

    From `summed` on chunks have to have a checksum; those before it were written by an earlier version.
    """

    lane: int
    topic: str
    partition: int
    start: int
    next: int
    timestamp: int
    summed: int = 0


def bytes_of(records: Sequence[Record]) -> int:
    """Bytes of their values."""
    return sum(len(record.value) for record in records)


def lanes_in(connection: sqlite3.Connection) -> list[StoredPartition]:
    """Every lane of the file, as of now. Raises `LogUnavailable`."""
    with translated("be read"):  # a damaged name is no UTF-8
        return [StoredPartition(*row) for row in connection.execute(_LANES)]


class ChunkReader:
    """A connection that only reads. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Raises `sqlite3.Error`."""
        self._reader = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        self._reading = threading.Lock()
        self._told: set[tuple[int, int]] = set()  # damaged stretches, by lane and what comes after them
        self._cache: OrderedDict[int, list[Record] | str] = OrderedDict()

    def lanes(self) -> list[StoredPartition]:
        """Every lane, as of now. Raises `LogUnavailable`."""
        with self._reading:
            return lanes_in(self._reader)

    def read(self, lane: StoredPartition, offset: int, limit: int, end: int) -> list[Record]:
        """Up to `limit` committed records from `offset` on, below `end`, and about `READ_BYTES`.

        For a record that is damaged comes one that only says so (see `Record.damage`). Nothing comes where no chunk
        begins at or before `offset`: see `lost`. Raises `LogUnavailable`.
        """
        found: list[Record] = []
        size = 0
        with self._reading, translated("read"):
            while offset < end and len(found) < limit and size < READ_BYTES:
                part = self._from(lane, offset, limit - len(found), end)
                if not part:
                    break
                found += part
                size += bytes_of(part)
                offset = found[-1].offset + 1
        return found

    def lost(self, lane: StoredPartition, offset: int, limit: int, end: int) -> list[Record]:
        """Up to `limit` records that say that those from `offset` on, up to the next chunk or `end`, are not there."""
        with self._reading, translated("read"):
            return self._damaged(lane, offset, limit, end, None, "it is not there")

    def _from(self, lane: StoredPartition, offset: int, limit: int, end: int) -> list[Record]:
        """Records from `offset` on, of one chunk; none if no chunk begins at or before it."""
        place = self._place_before(lane, offset + 1)
        if place is None:
            return []
        chunk = self._chunk(lane, place)
        if not chunk:
            return []
        earlier = None
        if isinstance(chunk, str):  # a chunk whose place is what is damaged must not hide the one before it
            before = self._place_before(lane, place & LAST_OFFSET)
            earlier = None if before is None else self._chunk(lane, before)
        for one in (chunk, earlier):
            if isinstance(one, list) and one and one[0].offset <= offset <= one[-1].offset:
                return one[offset - one[0].offset :][:limit]
        last = next((one[-1] for one in (chunk, earlier) if isinstance(one, list) and one), None)
        return self._damaged(
            lane, offset, limit, end, last, chunk if isinstance(chunk, str) else "it is not there"
        )

    def _place_before(self, lane: StoredPartition, offset: int) -> int | None:
        base = lane.lane << OFFSET_BITS
        row = self._reader.execute(
            "SELECT max(place) FROM chunks WHERE place >= ? AND place < ?", (base, base + offset)
        ).fetchone()
        place: int | None = row[0]
        return place

    def _damaged(
        self, lane: StoredPartition, offset: int, limit: int, end: int, last: Record | None, why: str
    ) -> list[Record]:
        """What stands for records that cannot be trusted: those up to the next chunk."""
        base = lane.lane << OFFSET_BITS
        row = self._reader.execute(
            "SELECT min(place) FROM chunks WHERE place > ? AND place < ?", (base + offset, base + end)
        ).fetchone()
        upto = end if row[0] is None else row[0] & LAST_OFFSET
        self._tell(lane, offset, upto, why)
        timestamp = 0 if last is None else last.timestamp  # which moves no clock
        headers = ((DAMAGED, why.encode()),)
        return [
            Record(lane.topic, lane.partition, each, None, b"", timestamp, headers)
            for each in range(offset, min(upto, offset + limit))
        ]

    def _tell(self, lane: StoredPartition, offset: int, upto: int, why: str) -> None:
        """Say once what is damaged: it may be read often."""
        from backbone.telemetry import LOG_DAMAGED, get_logger  # which long jobs hardly ever need

        if (lane.lane, upto) not in self._told:
            self._told.add((lane.lane, upto))
            LOG_DAMAGED.inc()
            get_logger(__name__).error(
                "log.damaged",
                topic=lane.topic,
                partition=lane.partition,
                begin=offset,
                end=upto - 1,
                error=why,
            )

    def _chunk(self, lane: StoredPartition, place: int) -> list[Record] | str:
        """The records of a chunk, or what is wrong with it."""
        chunk = self._cache.get(place)
        if chunk is not None:
            self._cache.move_to_end(place)
            return chunk
        try:
            chunk = self._load(lane, place)
        except DamagedChunk as error:
            chunk = str(error)
        if not chunk:  # removed by retention since it was found
            return []
        self._cache[place] = chunk
        if len(self._cache) > CACHED_CHUNKS:
            self._cache.popitem(last=False)
        return chunk

    def _load(self, lane: StoredPartition, place: int) -> list[Record]:
        """Raises `DamagedChunk`."""
        try:
            row = self._reader.execute(
                "SELECT count, timestamp, body FROM chunks WHERE place = ?", (place,)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            raise DamagedChunk(str(error)) from None
        if row is None:
            return []
        count, timestamp, body = row
        first = place & LAST_OFFSET
        keys, values, headers = decode(body, place, count, timestamp, summed=first >= lane.summed)
        topic, partition = lane.topic, lane.partition
        return [
            Record(topic, partition, first + i, keys[i], values[i], timestamp, headers[i])
            for i in range(count)
        ]

    def close(self) -> None:
        """Close the file."""
        with self._reading, suppress(sqlite3.Error):
            self._reader.close()
