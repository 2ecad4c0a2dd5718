"""A worker on partitions of the log: one thread that polls, works, and starts again when it lost its footing.

The log shares the partitions out among the workers of a group. For each one it is given, a worker claims the row
(`backbone.ownership`) and makes a task: all that lives in memory only while the partition is its own. It commits
what the records changed together with how far it has come, in one transaction fenced by the row. Whatever goes
wrong, it drops what is in memory and starts again from what is stored.

What passes by itself (`PASSING`): the partition was fenced, the database or the log is away, the machine is at
its limits. After each the worker waits, longer from one to the next, until both servers answer. Anything else is
a fault of ours: the thread ends, and `failure` says why. A partition of which the log no longer holds what comes
next is halted; the others go on.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Generic, NamedTuple, TypeVar

from backbone import telemetry
from backbone.database import Database
from backbone.errors import DatabaseUnavailable, LogUnavailable
from backbone.log import DEAD_LETTERS, Entry, Log, OffsetOutOfRange, Record
from backbone.log.limits import chunked, memory_of
from backbone.ownership import Fenced, Lane, Ownership, Row

PASSING = (Fenced, DatabaseUnavailable, LogUnavailable, OSError)
PAUSES_S = (
    0.1,
    0.5,
    1.0,
    2.0,
    5.0,
)  # before the next attempt, one after the other; the last one from then on
STEADY_S = 30.0  # a worker that ran so long is well again: its next pause is the first one
APPEND_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0

Task = TypeVar("Task")


class ReadPosition(NamedTuple):
    """Where the next poll reads on in a partition of a topic, and the offset that its next record will get."""

    next: int
    end: int

    @property
    def at_end(self) -> bool:
        """Whether all that is there has been read."""
        return self.next >= self.end


class Barrier(NamedTuple):
    """All that came to any partition before `upto` counts here once this one is read up to the offset `end`."""

    upto: int
    end: int


class PartitionWorker(ABC, Generic[Row, Task]):
    """Owns the partitions that the log assigns to this process; a service says what is done with them.

    `name`: the service's, for the thread, the logger and metrics. `group`: whose members share the partitions.
    All methods run in the worker's thread (or in the one of whoever drives it by `join` and `run_once`), except
    `start`, `stop`, `wake`, `alive`, `failure` and `halted`, which are for any.
    """

    def __init__(self, db: Database, log: Log, ownership: Ownership[Row], *, name: str, group: str) -> None:
        self._db, self._log, self._ownership, self._name = db, log, ownership, name
        self._logger = telemetry.get_logger(f"touchline.{name}")
        self.tasks: dict[int, Task] = {}
        self.halted: dict[Lane, Exception] = {}  # what stopped for good while it is ours, and why
        self.consumer = log.consumer(group, ownership.topics)
        self._fault: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-worker", daemon=True)
        self._attempts = 0  # restarts since the last round that was well
        self._restarted_at = time.monotonic()

    # -- what a service says

    @abstractmethod
    def open_task(self, row: Row) -> Task:
        """The task of a partition that has just been claimed."""

    @abstractmethod
    def work(self, records: Sequence[Record]) -> None:
        """One round: these were read, perhaps none. Whatever it raises of `PASSING` makes the worker start again."""

    @abstractmethod
    def poll_limits(self) -> tuple[float, int]:
        """How long the next poll may wait for a record, in seconds, and how many it may bring."""

    def before_claim(self) -> None:
        """Other partitions come; those we had are gone from `tasks`."""

    def claimed(self, rows: Sequence[Row]) -> None:
        """These partitions are ours now, and their tasks are open."""

    def revoked(self) -> None:
        """The partitions go to other workers, or come back by a later `claimed`. Must not raise."""

    def forget(self) -> None:
        """What is in memory is dropped, before the worker starts again. Must not raise."""

    def finish(self) -> None:
        """The worker leaves for good: finish what is under way. What this leaves undone the next owner does again."""

    # -- life

    def start(self) -> None:
        """Begin to work, in a thread of its own."""
        self.join()
        self._thread.start()

    def join(self) -> None:
        """Join the group of workers; `run_once` does the rest."""
        self.consumer.subscribe(self._assigned, self._revoked)

    def stop(self) -> None:
        """Finish the batch in hand and leave; returns when the thread has ended. Leaves too where none ever ran."""
        self._stopping.set()
        self.consumer.wake()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_TIMEOUT_S)
        else:
            self._leave()

    def wake(self) -> None:
        """From any thread: let the next round begin at once."""
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
        """Drop what is in memory and, as soon as the servers answer, ask for a share of the partitions anew.

        Never take the same ones back unasked: after a long stop they may be another worker's. Returns early
        when the worker is to stop.
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
        """Finish what is under way, then let the partitions go, whatever is raised."""
        try:
            with closing(self.consumer), suppress(*PASSING):
                self.finish()
        finally:  # a consumer that is closed need not call back
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
        """The records of each partition that is ours, in order."""
        parts: dict[int, list[Record]] = {}
        for record in records:
            parts.setdefault(record.partition, []).append(record)
        return [(self.tasks[number], part) for number, part in parts.items() if number in self.tasks]

    def running(self) -> Iterator[Task]:
        """The tasks of partitions that are not halted: there alone time may pass."""
        halted = {number for _, number in self.halted}
        return (task for number, task in self.tasks.items() if number not in halted)

    def positions(self, topic: str) -> dict[int, ReadPosition]:
        """How far each of our partitions was read, by number. Raises `LogUnavailable`.

        Compare these places, not the last record: behind it the log may hold what is none (`Consumer.positions`).
        """
        ends, read = self.consumer.end_offsets(), self.consumer.positions()
        return {
            number: ReadPosition(read.get((name, number), -1), end)
            for (name, number), end in ends.items()
            if name == topic
        }

    def holds_record(self, topic: str, partition: int, offset: int) -> bool:
        """Whether the log holds a record from an offset on, or whoever reads there is halted."""
        try:
            return bool(self._log.read(topic, partition, offset, 1))
        except OffsetOutOfRange:
            return True

    def put_aside(self, letters: Sequence[Entry]) -> None:
        """Append dead letters, durable on return: before the commit, so that a crash repeats one and loses none."""
        for some in chunked(letters, memory_of):
            self._log.append(DEAD_LETTERS, some).result(timeout=APPEND_TIMEOUT_S)
            telemetry.DEAD_LETTERED.labels(self._name).inc(len(some))

    # -- owning partitions

    def _assigned(self, numbers: list[int]) -> dict[Lane, int]:
        """These partitions are ours from now on; where to go on reading."""
        self.before_claim()
        starts = {topic: self._log.start_offsets(topic) for topic in self._ownership.topics}
        rows = self._ownership.claim(self._db, numbers, starts)
        for row in rows:
            self.tasks[row.partition] = self.open_task(row)
        self.claimed(rows)
        return {lane: offset for row in rows for lane, offset in self._ownership.lanes(row).items()}

    def _revoked(self, numbers: list[int]) -> None:
        """Whoever gets a halted partition next finds out by itself."""
        self.revoked()
        for number in numbers:
            self.tasks.pop(number, None)
        self.halted = {lane: reason for lane, reason in self.halted.items() if lane[1] not in numbers}
