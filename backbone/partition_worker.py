"""A worker on partitions of the log: one thread that polls, works, and starts again when something goes wrong.

The log shares the partitions out among the workers of a consumer group. For each partition that it is given, a worker
claims the row (`backbone.ownership`) and opens a partition task: the memory that it keeps for as long as it has the
partition. It commits the changes that records made together with the offsets it has reached, in one transaction
that the row fences. Whatever goes wrong, it drops its memory and starts again from the stored state.

Some errors pass by themselves (`PASSING`): the partition was fenced, the database or the log is away, the machine is
at its limits. After each of them the worker waits until both servers answer, longer every time. Any other error is
a fault of ours: the thread ends, and `failure` says why. If the log no longer holds the next record of a partition,
that partition is halted; the others go on.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Generic, NamedTuple, TypeVar

from backbone import telemetry
from backbone.database import Database
from backbone.errors import Unavailable
from backbone.log import DEAD_LETTERS, Entry, Log, OffsetOutOfRange, Record
from backbone.log.limits import chunked, memory_of
from backbone.ownership import Fenced, Lane, Ownership, Row

PASSING = (Fenced, Unavailable, OSError)
# Pauses before the worker starts again, in this order; from then on always the last one.
PAUSES_S = (
    0.1,
    0.5,
    1.0,
    2.0,
    5.0,
)
STEADY_S = 30.0  # a worker that has run this long is well again: its next pause is the first one
APPEND_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0

Task = TypeVar("Task")


class ReadPosition(NamedTuple):
    """The offset at which the next poll of a partition reads on, and the offset that its next new record will get."""

    next: int
    end: int

    @property
    def at_end(self) -> bool:
        """Whether every record that is there has been read."""
        return self.next >= self.end


class Barrier(NamedTuple):
    """Once this partition is read up to the offset `end`, every record that any partition received before `upto` has
    had its effect here."""

    upto: int
    end: int


class PartitionWorker(ABC, Generic[Row, Task]):
    """Owns the partitions that the log assigns to this process; each service defines its work on the records.

    `name`: the service's name, for the thread, the logger and metrics. `group`: the consumer group.
    All methods run in the worker's thread (or in the thread that calls `join` and `run_once`), except `start`, `stop`,
    `wake`, `alive`, `failure` and `halted`, which any thread may use.
    """

    def __init__(self, db: Database, log: Log, ownership: Ownership[Row], *, name: str, group: str) -> None:
        self._db, self._log, self._ownership, self._name = db, log, ownership, name
        self._logger = telemetry.get_logger(f"touchline.{name}")
        self.tasks: dict[int, Task] = {}
        self.halted: dict[Lane, Exception] = {}  # those of our partitions that are halted, and why
        self.consumer = log.consumer(group, ownership.topics)
        self._fault: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-worker", daemon=True)
        self._attempts = 0  # restarts since the last round that brought records
        self._restarted_at = time.monotonic()

    # -- what a service defines

    @abstractmethod
    def open_task(self, row: Row) -> Task:
        """The partition task of a partition that has just been claimed."""

    @abstractmethod
    def work(self, records: Sequence[Record]) -> None:
        """Do one round with the records that were read, perhaps none. An error of `PASSING` restarts the worker."""

    @abstractmethod
    def poll_limits(self) -> tuple[float, int]:
        """How long the next poll may wait for a record, in seconds, and how many records it may bring."""

    def before_claim(self) -> None:
        """Called before other partitions are claimed; the ones that we lost are gone from `tasks`."""

    def claimed(self, rows: Sequence[Row]) -> None:
        """These partitions are ours now, and their tasks are open."""

    def revoked(self) -> None:
        """Called when partitions are taken from us; some may come back with a later `claimed`. Must not raise."""

    def forget(self) -> None:
        """Drop everything in memory, before the worker starts again. Must not raise."""

    def finish(self) -> None:
        """Finish the work in hand, for the worker leaves for good. The next owner repeats anything left undone."""

    # -- life

    def start(self) -> None:
        """Begin to work in a new thread."""
        self.join()
        self._thread.start()

    def join(self) -> None:
        """Join the consumer group; `run_once` does the rest."""
        self.consumer.subscribe(self._assigned, self._revoked)

    def stop(self) -> None:
        """Finish the batch in hand and leave the group; returns when the thread, if one was started, has ended."""
        self._stopping.set()
        self.consumer.wake()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_TIMEOUT_S)
        else:
            self._leave()

    def wake(self) -> None:
        """Let the next round begin at once. From any thread."""
        self.consumer.wake()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def failure(self) -> Exception | None:
        """Why the thread ended, or else why a partition is halted; None if all is well."""
        return self._fault or next(iter(list(self.halted.values())), None)

    def _run(self) -> None:
        lost = False
        while not self._stopping.is_set():
            try:
                if lost:
                    self.restart()
                    lost = False
                else:
                    self.run_once()
            except PASSING as error:
                lost = True
                self._logger.warning("batch abandoned; starting again from what is stored", error=error)
            except Exception as error:
                self._fault = error
                stopped = f"the {self._name} worker stopped"
                self._logger.exception(stopped)
                break
        self._leave()

    def run_once(self) -> None:
        """One round: poll, then work."""
        records = self._poll()
        self.work(records)
        if records:
            self._attempts = 0

    def restart(self) -> None:
        """Drop everything in memory and, once the servers answer, ask for a new share of the partitions.

        The worker never takes its old partitions back unasked: after a long stop they may be another worker's.
        Returns early when the worker is to stop.
        """
        self.forget()
        self.tasks.clear()
        self.halted.clear()
        if time.monotonic() - self._restarted_at > STEADY_S:
            self._attempts = 0
        try:
            while True:
                pause = PAUSES_S[min(self._attempts, len(PAUSES_S) - 1)]
                self._attempts += 1
                if self._stopping.wait(pause):
                    return
                if self._db.ping() and self._log.ready():
                    break
            self.consumer.rejoin()
        finally:
            self._restarted_at = time.monotonic()

    def _leave(self) -> None:
        """Finish the work in hand, then let the partitions go, even if that raises."""
        try:
            with closing(self.consumer), suppress(*PASSING):
                self.finish()
        finally:  # a consumer need not call `_revoked` when it is closed
            self.tasks.clear()
            self.halted.clear()

    # -- reading

    def _poll(self) -> list[Record]:
        timeout, limit = self.poll_limits()
        try:
            return self.consumer.poll(timeout, limit)
        except OffsetOutOfRange as error:
            self.halted[error.topic, error.partition] = error
            self.consumer.pause(error.topic, error.partition)
            self._logger.error("a partition stopped", partition=error.partition, error=error.message)
            return []

    def by_task(self, records: Sequence[Record]) -> list[tuple[Task, list[Record]]]:
        """The records of each partition that is ours, in order, with its partition task."""
        parts: dict[int, list[Record]] = {}
        for record in records:
            parts.setdefault(record.partition, []).append(record)
        return [(self.tasks[number], part) for number, part in parts.items() if number in self.tasks]

    def running(self) -> Iterator[Task]:
        """The tasks of partitions that are not halted. Time passes only in these."""
        halted = {number for _, number in self.halted}
        return (task for number, task in self.tasks.items() if number not in halted)

    def positions(self, topic: str) -> dict[int, ReadPosition]:
        """How far each of our partitions has been read, by its number. Raises `LogUnavailable`.

        Compare these offsets, not that of the last record: the log may go on with entries that are no records (see
        `Consumer.positions`).
        """
        ends, read = self.consumer.end_offsets(), self.consumer.positions()
        return {
            number: ReadPosition(read.get((name, number), -1), end)
            for (name, number), end in ends.items()
            if name == topic
        }

    def holds_record(self, topic: str, partition: int, offset: int) -> bool:
        """Whether the log holds a record at or after an offset; also true where a reader would be halted."""
        try:
            return bool(self._log.read(topic, partition, offset, 1))
        except OffsetOutOfRange:
            return True

    def put_aside(self, letters: Sequence[Entry]) -> None:
        """Append dead letters; they are durable on return. Call it before the commit: a crash may then repeat a dead
        letter, but loses none."""
        for some in chunked(letters, memory_of):
            self._log.append(DEAD_LETTERS, some).result(timeout=APPEND_TIMEOUT_S)
            telemetry.DEAD_LETTERED.labels(self._name).inc(len(some))

    # -- owning partitions

    def _assigned(self, numbers: list[int]) -> dict[Lane, int]:
        """Claim the partitions that the log assigns to us; returns the offsets at which to read on."""
        self.before_claim()
        starts = {topic: self._log.start_offsets(topic) for topic in self._ownership.topics}
        rows = self._ownership.claim(self._db, numbers, starts)
        for row in rows:
            self.tasks[row.partition] = self.open_task(row)
        self.claimed(rows)
        return {lane: offset for row in rows for lane, offset in self._ownership.lanes(row).items()}

    def _revoked(self, numbers: list[int]) -> None:
        """Let these partitions go. The next owner of a halted one halts it again by itself."""
        self.revoked()
        for number in numbers:
            self.tasks.pop(number, None)
        self.halted = {lane: reason for lane, reason in self.halted.items() if lane[1] not in numbers}
