"""Records, the two interfaces of a log adapter, and its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

import msgspec

from backbone.errors import ConfigurationError, TooLarge, TouchlineError
from backbone.errors import LogUnavailable as LogUnavailable

EVENTS = "touchline.events"
TRIGGERS = "touchline.triggers"
DEAD_LETTERS = "touchline.dead-letters"
TOPICS = (EVENTS, TRIGGERS, DEAD_LETTERS)

# Header of a record that stands in for a damaged one, and says what is wrong with it.
DAMAGED = "touchline-damaged"

MAX_RECORD_BYTES = 1_048_576  # the largest value an append takes
MAX_HEADER_BYTES = 65_536  # key and headers together

Headers = Sequence[tuple[str, bytes]]
Place = tuple[int, int]  # partition, offset
Lane = tuple[str, int]  # topic, partition
Assigned = Callable[[list[int]], Mapping[Lane, int]]
Revoked = Callable[[list[int]], None]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as read. `timestamp` is its receipt by the log, in microseconds since the epoch.

    Consumers may share records, hence frozen. A key that is no UTF-8 comes with backslash escapes.
    """

    topic: str
    partition: int
    offset: int
    key: str | None
    value: bytes
    timestamp: int
    headers: Headers = ()

    @property
    def damage(self) -> str | None:
        """Why the log cannot return this record; None for a record as it was written."""
        if self.value:
            return None
        why = next((value for name, value in self.headers if name == DAMAGED), None)
        return None if why is None else f"the record is damaged: {why.decode()}"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One record to append. Its partition is `partition`, else that of its `key`, else 0."""

    value: bytes
    key: str | None = None
    partition: int | None = None
    headers: Headers = ()


class RecordTooLarge(TooLarge):
    """A value above `MAX_RECORD_BYTES`, or key and headers above `MAX_HEADER_BYTES`: it will never fit."""


class PartitionsChanged(ConfigurationError):
    """The log has another number of partitions than is configured; nothing works until it fits."""

    status = 503
    code = "partitions_changed"
    title = "The log's partition count does not fit"


class LogInUse(ConfigurationError):
    """Another process has this embedded log open."""

    code = "log_in_use"
    title = "The log is in use"


class OffsetOutOfRange(TouchlineError):
    """A reader's offset is not in the log: retention has passed it, or the log was replaced."""

    code = "offset_out_of_range"
    title = "The log does not hold that offset"

    def __init__(self, topic: str, partition: int, offset: int, start: int | None, end: int | None) -> None:
        held = "" if start is None else f"; the log holds offsets {start} to {end}"
        super().__init__(
            f"{topic} partition {partition}: offset {offset} is not in the log{held}. Records may have been "
            "removed by retention before they were read, or the log and the database do not belong together"
        )
        self.topic, self.partition, self.offset, self.start, self.end = topic, partition, offset, start, end


class Log(Protocol):
    """Partitioned topics of records. All methods may be called from any thread."""

    partitions: int

    def append(
        self, topic: str, entries: Sequence[Entry], *, after: Future[list[Place]] | None = None
    ) -> Future[list[Place]]:
        """Append in order; never blocks. The future resolves, once all are durable, to each entry's place.

        It fails with `LogUnavailable` if the log cannot take the entries (some may have been written all the same, so
        a repeat needs the same ids), and with `RecordTooLarge` if one never fits (then nothing was written). Appends
        made one after the other keep their order within a partition. There, an entry that fails is never followed by
        one that succeeds, unless that one was appended after the failure was known. With `after`, the result of an
        earlier append, not even then: if that one failed, this one does too.
        """
        ...

    def start_offsets(self, topic: str) -> dict[int, int]:
        """The oldest offset kept, by partition. Raises `LogUnavailable`."""
        ...

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The offset that the next record will get, by partition. Raises `LogUnavailable`."""
        ...

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        """Up to `limit` records from `offset` on; empty only at the end. Blocks.

        Raises `OffsetOutOfRange` for an offset before the start or behind the end, and `LogUnavailable`.
        """
        ...

    def pick(self, topic: str, partition: int, offsets: Sequence[int]) -> list[Record]:
        """The records at these offsets (rising), as far as the log holds them. Blocks.

        For a few records that are far apart; each may cost a request of its own. Raises `LogUnavailable`.
        """
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """A new member of `group`; the members share the partitions."""
        ...

    def ready(self) -> bool:
        """Whether the log can be reached now. Takes a second at most."""
        ...

    def close(self) -> None:
        """Write what was accepted, then let go of everything."""
        ...


class Consumer(Protocol):
    """Reads in order within a partition. Belongs to the thread that polls it; `wake` is for others."""

    def subscribe(self, on_assigned: Assigned, on_revoked: Revoked) -> None:
        """Join the group; `poll` calls the callbacks.

        `on_assigned(partitions)` gets all partitions now owned, the same of every topic, and returns the offset to
        read from for every (topic, partition). When the group changes, `on_revoked(all owned so far)` comes first. An
        error in a callback comes out of `poll`, and the next `poll` tries that assignment again.
        """
        ...

    def poll(self, timeout: float, max_records: int) -> list[Record]:
        """Up to `max_records`, waiting at most about `timeout` seconds for the first one.

        Yields nothing while the server is away. Raises `OffsetOutOfRange` and `PartitionsChanged`.
        """
        ...

    def stay(self) -> None:
        """Stay in the group through long work between two polls. Call it often; it costs little and reads nothing.

        Changes of the group come out of the next `poll`.
        """
        ...

    def end_offsets(self) -> dict[Lane, int]:
        """The offset after the last record, of each owned lane. Raises `LogUnavailable`."""
        ...

    def positions(self) -> dict[Lane, int]:
        """Where the next `poll` reads on, of each owned lane.

        This may be past the last record + 1 where the log holds more than records (Kafka's transaction
        markers). To ask whether everything was read, compare it with the end offset.
        """
        ...

    def pause(self, topic: str, partition: int) -> None:
        """Yield no records of this lane until `resume`; a new assignment resumes all."""
        ...

    def resume(self, topic: str, partition: int) -> None:
        """Undo `pause`."""
        ...

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read an owned lane on from `offset`."""
        ...

    def commit(self, offsets: Mapping[Lane, int]) -> None:
        """Tell the log how far we are, for lag monitoring only. It never fails, and never decides where to start."""
        ...

    def rejoin(self) -> None:
        """Leave the group and join it anew: `on_revoked` now, `on_assigned` in a later `poll`.

        For a worker that was fenced, or whose database was away: it starts again from what is stored.
        """
        ...

    def wake(self) -> None:
        """Let the running `poll`, or else the next one, return at once. Call it from any thread."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...
