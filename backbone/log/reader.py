"""Reads the log from another process, and does nothing else: no group, no lock, no write.

The embedded log's file is opened beside the process that owns it; Kafka's partitions are assigned, without a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from backbone.log.embedded.chunk_reader import ChunkReader, StoredPartition
from backbone.log.embedded.sqlite_errors import translated
from backbone.log.records import OffsetOutOfRange, Record

if TYPE_CHECKING:
    from backbone.settings import Settings


class Readable(Protocol):
    """What a reader of the past needs of a log; see `backbone.log.Log` for the methods. For one thread."""

    partitions: int

    def start_offsets(self, topic: str) -> dict[int, int]:
        """The oldest offset kept, by partition."""
        ...

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The offset that the next record will get, by partition."""
        ...

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        """Up to `limit` records from `offset` on; empty only at the end."""
        ...


class LogReader(Readable, Protocol):
    """A reader that was opened, and is to be closed."""

    def close(self) -> None:
        """Let go of it."""
        ...


def pages(
    log: Readable, topic: str, partition: int, start: int, end: int, size: int
) -> Iterator[list[Record]]:
    """The records from `start` to before `end`, up to `size` at a time, without those that retention has deleted."""
    offset = start
    while offset < end:
        try:
            records = log.read(topic, partition, offset, min(size, end - offset))
        except OffsetOutOfRange as gone:  # retention has deleted it first
            if gone.start is None or gone.start <= offset:
                raise
            offset = gone.start
            continue
        if not records:
            return
        yield [record for record in records if record.offset < end]
        offset = records[-1].offset + 1


def open_reader(settings: Settings) -> LogReader:
    """A reader of the log that the settings name. Raises `LogUnavailable`."""
    if settings.kafka_bootstrap_servers:
        from backbone.log.kafka.reader import open_kafka_reader

        return open_kafka_reader(settings)
    return EmbeddedReader(settings.data_dir / "log.db")


class EmbeddedReader:
    """The embedded log's file, which another process owns and goes on writing."""

    def __init__(self, path: Path) -> None:
        with translated(f"open {path}"):
            self._file = ChunkReader(path)
        self.partitions = 1 + max((lane.partition for lane in self._file.lanes()), default=-1)

    def _lane(self, topic: str, partition: int) -> StoredPartition:
        return next(lane for lane in self._file.lanes() if (lane.topic, lane.partition) == (topic, partition))

    def start_offsets(self, topic: str) -> dict[int, int]:
        """See `Readable`."""
        return {lane.partition: lane.start for lane in self._file.lanes() if lane.topic == topic}

    def end_offsets(self, topic: str) -> dict[int, int]:
        """See `Readable`."""
        return {lane.partition: lane.next for lane in self._file.lanes() if lane.topic == topic}

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        """See `Readable`; every call looks anew where the log begins and ends."""
        lane = self._lane(topic, partition)
        if not lane.start <= offset <= lane.next:
            raise OffsetOutOfRange(topic, partition, offset, lane.start, lane.next)
        found = self._file.read(lane, offset, limit, lane.next)
        if found or offset == lane.next or limit <= 0:
            return found
        start = self._lane(topic, partition).start
        if offset < start:  # retention was quicker
            raise OffsetOutOfRange(topic, partition, offset, start, lane.next)
        return self._file.lost(lane, offset, limit, lane.next)

    def close(self) -> None:
        """See `Readable`."""
        self._file.close()
