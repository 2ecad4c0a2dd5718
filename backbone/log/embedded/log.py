"""The log embedded in one process: one thread commits appends in groups, consumers get them from memory.

An append waits in a bounded queue; the writer takes all that wait, commits them as one transaction with
`synchronous=FULL`, then publishes them (end offsets, newest records in memory, consumers woken) and resolves
their futures. So one fsync serves every request that arrived during the one before it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from backbone.clock import WallClock
from backbone.log.embedded.chunk_store import Chunk, ChunkStore
from backbone.log.embedded.consumer import ConsumerGroups, EmbeddedConsumer
from backbone.log.embedded.partition_log import PartitionLog
from backbone.log.limits import RECORD_OVERHEAD, check_followed, checked_size
from backbone.log.partitioner import partition_for
from backbone.log.records import (
    TOPICS,
    Entry,
    LogUnavailable,
    OffsetOutOfRange,
    Place,
    Record,
    RecordTooLarge,
)
from backbone.redaction import words

QUEUE_BYTES = 64 << 20  # accepted and not yet durable; beyond it appends are refused
COMMIT_BYTES = 16 << 20  # about what one commit takes at most
TAIL_BYTES = 48 << 20  # newest records kept in memory for consumers
CHUNK_BYTES = 512 << 10
CHUNK_RECORDS = 4096
KNOWN_KEYS = 100_000  # whose partition is remembered
SWEEP_S = 60.0  # how often retention looks
PROBE_S = 1.0  # how often the file is tried after a commit has failed
SWEEP_CHUNKS = 256  # how much it removes between two commits

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Append:
    """One call of `append`, waiting."""

    lanes: list[PartitionLog]
    entries: Sequence[Entry]
    size: int
    future: Future[list[Place]]
    places: list[Place] = field(default_factory=list)


class EmbeddedLog:
    """See `backbone.log.Log`. One process; a second one is refused with `LogInUse`."""

    def __init__(
        self,
        folder: Path,
        partitions: int,
        *,
        retention: int | None = None,
        now: Callable[[], int] = WallClock().now,
        queue_bytes: int = QUEUE_BYTES,
        tail_bytes: int = TAIL_BYTES,
    ) -> None:
        """`retention`: microseconds after receipt at which records may go; None keeps all.

        Raises `LogInUse`, `PartitionsChanged`, `LogUnavailable`.
        """
        self.partitions = partitions
        self._retention, self._now = retention, now
        self._queue_bytes, self._tail_bytes = queue_bytes, tail_bytes
        self._store = ChunkStore(folder, TOPICS, partitions)
        self._lanes = {
            (s.topic, s.partition): PartitionLog(s, s.start, s.next, s.timestamp) for s in self._store.lanes()
        }
        self._by_topic = {t: [self._lanes[t, p] for p in range(partitions)] for t in TOPICS}
        self._known: dict[str | None, int] = {None: 0}  # key → partition
        self._waiting: deque[_Append] = deque()
        self._waiting_bytes = self._tail_used = 0
        self._closed = False
        self._failed: str | None = None
        self._arrived = threading.Condition()  # guards what waits for the writer
        self.changed = threading.Condition()  # guards the lanes' state; notified after each commit
        self.version = 0  # commits seen so far; guarded by `changed`
        self._groups = ConsumerGroups(partitions, self.changed)
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    # -- belonging to tables

    @property
    def mark(self) -> str | None:
        """What names this log among others (see `backbone.store_identity`), None if it has no name yet."""
        return self._store.mark

    @mark.setter
    def mark(self, value: str) -> None:
        self._store.mark = value

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written."""
        return all(lane.next == 0 for lane in self._lanes.values())

    def go_on_from(self, places: Mapping[tuple[str, int], int]) -> None:
        """Lanes that nothing was written to begin where their readers are: for a log in place of one that was lost."""
        with self.changed:
            for place, offset in places.items():
                lane = self._lanes.get(place)
                if lane is not None and lane.next == 0:
                    self._store.begin_at(lane.stored.lane, offset)
                    lane.start = lane.next = offset

    # -- appending

    def append(
        self, topic: str, entries: Sequence[Entry], *, after: Future[list[Place]] | None = None
    ) -> Future[list[Place]]:
        """See `Log.append`."""
        future: Future[list[Place]] = Future()
        try:
            size = checked_size(entries)
            waiting = _Append(self._lanes_of(topic, entries), entries, size, future)
            self._enqueue(waiting, after)
        except (LogUnavailable, RecordTooLarge) as error:
            future.set_exception(error)
        return future

    def _lanes_of(self, topic: str, entries: Sequence[Entry]) -> list[PartitionLog]:
        lanes, known = self._by_topic[topic], self._known
        found = []
        for entry in entries:
            number = entry.partition
            if number is None:
                number = known.get(entry.key)
                found.append(lanes[self._learn(entry.key) if number is None else number])
            else:
                found.append(self._lanes[topic, number])
        return found

    def _learn(self, key: str | None) -> int:
        if len(self._known) >= KNOWN_KEYS:
            self._known = {None: 0}
        number = 0 if key is None else partition_for(key, self.partitions)
        self._known[key] = number
        return number

    def _enqueue(self, waiting: _Append, after: Future[list[Place]] | None) -> None:
        with self._arrived:
            if self._closed:
                raise LogUnavailable("the log is closed")
            check_followed(after)
            if self._waiting_bytes + waiting.size > self._queue_bytes and self._waiting:
                raise LogUnavailable(
                    "the log's queue is full: appends arrive faster than the disk takes them"
                )
            self._waiting.append(waiting)
            self._waiting_bytes += waiting.size
            self._arrived.notify()

    # -- the writer's thread

    def _run(self) -> None:
        sweep_at = time.monotonic()
        while True:
            with self._arrived:
                if not self._waiting and not self._closed:
                    left = max(0.0, sweep_at - time.monotonic())
                    self._arrived.wait(left if self._failed is None else min(left, PROBE_S))
                taken = self._take()
                if not taken and not self._waiting and self._closed:
                    return
            if taken:
                self._commit(taken)
            elif self._failed is not None:
                self._probe()
            if time.monotonic() >= sweep_at:
                sweep_at = time.monotonic() + (0.0 if self._sweep() else SWEEP_S)

    def _take(self) -> list[_Append]:
        taken: list[_Append] = []
        size = 0
        while self._waiting and size < COMMIT_BYTES:
            waiting = self._waiting.popleft()
            self._waiting_bytes -= waiting.size
            if waiting.future.set_running_or_notify_cancel():
                size += waiting.size
                taken.append(waiting)
        return taken

    def _commit(self, taken: list[_Append]) -> None:
        try:
            added = self._place(taken)
            chunks = [c for lane, entries in added for c in _chunks(lane, entries, self._stamp(lane))]
            self._store.write(chunks)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must reach those who wait
            self._refuse(taken, error)
            return
        self._failed = None
        self._publish(added, chunks, sum(waiting.size for waiting in taken))
        for waiting in taken:
            waiting.future.set_result(waiting.places)

    def _refuse(self, taken: list[_Append], error: Exception) -> None:
        """Fail these, and all that came after them: nothing may be written behind what was not.

        Whoever appends before a failure is told finds himself among those that wait, and fails as well.
        """
        self._failed = words(error)
        unavailable = (
            copy(error)
            if isinstance(error, LogUnavailable)
            else LogUnavailable(f"the log failed: {words(error)}")
        )
        for waiting in taken:
            waiting.future.set_exception(unavailable)
        with self._arrived:
            behind = [w for w in self._waiting if w.future.set_running_or_notify_cancel()]
            self._waiting.clear()
            self._waiting_bytes = 0
            for waiting in behind:
                waiting.future.set_exception(unavailable)
        _log.error("log.append_failed", appends=len(taken) + len(behind), error=self._failed)

    def _probe(self) -> None:
        """See whether the file takes writes again: those who wait until we are `ready` append nothing."""
        with suppress(LogUnavailable):
            self._store.probe()
            self._failed = None

    def _place(self, taken: list[_Append]) -> list[tuple[PartitionLog, list[Entry]]]:
        """Give every entry its place; the new entries by lane."""
        touched: list[PartitionLog] = []
        for waiting in taken:
            place = waiting.places.append
            for lane, entry in zip(waiting.lanes, waiting.entries, strict=True):
                fresh = lane.fresh
                if not fresh:
                    touched.append(lane)
                place((lane.stored.partition, lane.next + len(fresh)))
                fresh.append(entry)
        added = [(lane, lane.fresh) for lane in touched]
        for lane in touched:
            lane.fresh = []
        return added

    def _stamp(self, lane: PartitionLog) -> int:
        return max(self._now(), lane.timestamp)

    def _publish(self, added: list[tuple[PartitionLog, list[Entry]]], chunks: list[Chunk], size: int) -> None:
        stamps = {c.lane: c.timestamp for c in chunks}
        fresh = [(lane, _records(lane, entries, stamps[lane.stored.lane])) for lane, entries in added]
        with self.changed:
            for lane, records in fresh:
                lane.tail += records
                lane.next += len(records)
                lane.timestamp = records[-1].timestamp
            self._tail_used += size
            if self._tail_used > self._tail_bytes:
                self._trim()
            self.version += 1
            self.changed.notify_all()

    def _trim(self) -> None:
        """Drop the older half of every tail: seldom, so that it costs next to nothing per record."""
        for lane in self._lanes.values():
            keep = len(lane.tail) // 2
            lane.tail = lane.tail[len(lane.tail) - keep :]
        self._tail_used = sum(len(r.value) + RECORD_OVERHEAD for s in self._lanes.values() for r in s.tail)

    def _sweep(self) -> bool:
        """Remove what is older than the retention, a bounded amount; whether there may be more."""
        if self._retention is None:
            return False
        before, more = self._now() - self._retention, False
        for lane in self._lanes.values():
            try:
                start = self._store.expired(lane.stored.lane, before, SWEEP_CHUNKS)
                if start is not None:
                    more = True
                    with self.changed:  # before they go: whoever finds nothing can tell that from the end
                        lane.start = start
                        lane.tail = lane.tail[max(0, start - (lane.next - len(lane.tail))) :]
                    self._store.remove(lane.stored.lane, start)
            except LogUnavailable:
                _log.exception("log.retention_failed")
                return False
        return more

    # -- reading

    def start_offsets(self, topic: str) -> dict[int, int]:
        """See `Log.start_offsets`."""
        with self.changed:
            return {p: self._lanes[topic, p].start for p in range(self.partitions)}

    def end_offsets(self, topic: str) -> dict[int, int]:
        """See `Log.end_offsets`."""
        with self.changed:
            return {p: self._lanes[topic, p].next for p in range(self.partitions)}

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        """See `Log.read`."""
        lane = self._lanes[topic, partition]
        with self.changed:
            found = self.lookup(lane, offset, limit)
            end = lane.next
        if found is None:
            found = self._store.read(lane.stored, offset, limit, end)
            if not found and limit > 0:
                with self.changed:
                    start = lane.start
                if offset < start:  # retention was quicker
                    raise OffsetOutOfRange(topic, partition, offset, start, end)
                found = self._store.lost(lane.stored, offset, limit, end)
        return found

    def pick(self, topic: str, partition: int, offsets: Sequence[int]) -> list[Record]:
        """See `Log.pick`."""
        found: list[Record] = []
        for offset in offsets:
            with suppress(OffsetOutOfRange):
                found += self.read(topic, partition, offset, 1)
        return found

    def lookup(self, lane: PartitionLog, offset: int, limit: int) -> list[Record] | None:
        """From memory, None if only the disk has it. Called with `changed` held. `OffsetOutOfRange`."""
        if not lane.start <= offset <= lane.next:
            raise OffsetOutOfRange(lane.stored.topic, lane.stored.partition, offset, lane.start, lane.next)
        return lane.copy_tail(offset, limit)

    def lane(self, topic: str, partition: int) -> PartitionLog:
        """A lane's state; KeyError for an unknown topic or partition."""
        return self._lanes[topic, partition]

    def consumer(self, group: str, topics: Sequence[str]) -> EmbeddedConsumer:
        """See `Log.consumer`."""
        return EmbeddedConsumer(self, self._groups, group, topics)

    # -- the rest

    @property
    def open(self) -> bool:
        """Whether `close` has not been called."""
        return not self._closed

    def ready(self) -> bool:
        """Whether the last commit succeeded and more can follow."""
        return not self._closed and self._thread.is_alive() and self._failed is None

    def close(self) -> None:
        """See `Log.close`."""
        with self._arrived:
            if self._closed:
                return
            self._closed = True
            self._arrived.notify()
        self._thread.join()
        with self.changed:
            self.changed.notify_all()
        self._store.close()


def _chunks(lane: PartitionLog, entries: list[Entry], timestamp: int) -> list[Chunk]:
    """The lane's new entries, cut where a chunk is long enough."""
    chunks, begin, size = [], 0, 0
    for index, entry in enumerate(entries):
        if index > begin and (size + len(entry.value) > CHUNK_BYTES or index - begin >= CHUNK_RECORDS):
            chunks.append(Chunk(lane.stored.lane, lane.next + begin, timestamp, entries[begin:index]))
            begin, size = index, 0
        size += len(entry.value)
    chunks.append(Chunk(lane.stored.lane, lane.next + begin, timestamp, entries[begin:]))
    return chunks


def _records(lane: PartitionLog, entries: list[Entry], timestamp: int) -> list[Record]:
    topic, partition, first = lane.stored.topic, lane.stored.partition, lane.next
    return [
        Record(topic, partition, first + i, e.key, e.value, timestamp, e.headers)
        for i, e in enumerate(entries)
    ]
