"""The rules worker: one thread that reads events, lets the engine judge, and commits everything at once.

Per batch one transaction holds account states, triggers (the outbox) and how far each partition has come, fenced by
the partition's epoch. Then the triggers go to `touchline.triggers`, followed by how far rules has come.

With a backlog the transaction is written by a second thread while this one reads and judges the next batch. There is
never more than one under way, so each finds the table where the one before it left it. If one fails, all that is in
memory is dropped, the batch judged meanwhile included.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass

from backbone import telemetry
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import DatabaseUnavailable, LogUnavailable
from backbone.failpoint import hit
from backbone.log import DEAD_LETTERS, EVENTS, Log, OffsetOutOfRange, Record
from backbone.log.limits import chunked, memory_of
from services.rules import event_catalog
from services.rules.decoding import GRACE_US
from services.rules.event_catalog import EventCatalog
from services.rules.metrics import EVENTS_DECIDED, count_decisions, show_health
from services.rules.outbox_relay import OutboxRelay
from services.rules.partition_task import MergeBarrier, RulesTask
from services.rules.storage import queries
from services.rules.storage.retention import KEPT_US, Retention
from services.rules.storage.revisions import RuleSets
from services.rules.storage.write_set import WriteSet

GROUP = "touchline-rules"
BATCH = 50_000  # records a transaction at most: the larger, the fewer times a busy account is written
BESIDE = 2_000  # records from which on a batch is written beside the next: there will be one
IDLE_S = 0.2  # how long a poll waits when nothing comes; moments are looked at this often
CACHE = 2 << 30  # bytes, as the setting's default
# These go by: we start again from what is stored.
PASSING = (queries.Fenced, DatabaseUnavailable, LogUnavailable, OSError)
RETRY_S = 0.5  # pause between attempts while the log or the database is away, or a partition is another's

logger = telemetry.get_logger("touchline.rules")


@dataclass(slots=True)
class Commit:
    """A transaction: what it writes, of how many records, and since when (`time.perf_counter`) we work on them."""

    changes: list[tuple[RulesTask, WriteSet]]
    records: int
    started: float
    done: Future[None]


class RulesWorker:
    """Owns the partitions that the log assigns to this process.

    `cache`: bytes that account states may take in memory, over all partitions; a worker with some of them
    uses its share. `keep`: microseconds for which old triggers stay.
    """

    def __init__(
        self,
        db: Database,
        log: Log,
        clock: Clock,
        *,
        clock_mode: str,
        cache: int = CACHE,
        keep: int = KEPT_US,
    ) -> None:
        self._db, self._log, self._clock, self._mode = db, log, clock, clock_mode
        self._room = cache // log.partitions
        self._rulesets = RuleSets(db)
        self._relay = OutboxRelay(db, log)
        self._seen = EventCatalog(db)
        self._retention = Retention(db, keep)
        self.tasks: dict[int, RulesTask] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="rules-commit")
        self._under_way: Commit | None = None
        self._stopping = threading.Event()
        self.consumer = log.consumer(GROUP, [EVENTS])
        self._thread = threading.Thread(target=self._run, name="rules-worker", daemon=True)
        self.failure: BaseException | None = None
        self._shown: set[str] = set()  # rules that are shown as unhealthy
        self.halted: set[int] = set()  # partitions that stopped for good, while they are ours

    def start(self) -> None:
        """Begin to work, in a thread of its own."""
        self.join()
        self._thread.start()

    def join(self) -> None:
        """Join the group of workers; `run_once` does the rest."""
        self.consumer.subscribe(self._assigned, self._revoked)

    def stop(self) -> None:
        """Finish the batch in hand and leave; returns when the thread has ended."""
        self._stopping.set()
        self.consumer.wake()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        else:
            self._leave()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def unreported(self) -> int:
        """Partitions whose progress is not on `touchline.triggers` yet."""
        return sum(task.reported != task.saved.next_offset for task in list(self.tasks.values()))

    def unhealthy(self, rule: str) -> str | None:
        """What is wrong with a rule that failed in a partition of this process, or None."""
        for task in list(self.tasks.values()):
            if rule in task.engine.unhealthy:
                return str(task.engine.unhealthy[rule])
        return None

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.run_once()
            except PASSING as error:
                logger.warning("batch abandoned; starting again from what is stored", error=error)
                self.restart()
            except Exception as error:
                self.failure = error
                logger.exception("the rules worker stopped")
                break
        self._leave()

    def _leave(self) -> None:
        """Finish what is under way, then let the partitions go, whatever is raised; what fails now is done again by
        the next owner."""
        with closing(self.consumer), self._writer, suppress(*PASSING):
            self._settle()
            self._relay.flush(self.tasks.values())

    def run_once(self) -> None:
        """One round: read, judge, commit, relay."""
        started = time.perf_counter()
        records = self._poll()
        if records:
            hit("rules.after_poll")
            started = time.perf_counter()
        judged = self._judge(records)
        self._settle()
        self._commit(judged or [task for task in self.tasks.values() if task.dirty], len(records), started)
        if self._mode == "wall":
            self._moments()
        self._retention.sweep(self.tasks.values(), self._clock.now() if self._mode == "wall" else None)
        self._relay.flush(self.tasks.values())

    def _poll(self) -> list[Record]:
        """Records. A partition whose events were deleted before they were read stops; the others go on."""
        try:
            return self.consumer.poll(self._pause(), BATCH)
        except OffsetOutOfRange as error:
            self.failure = error
            self.halted.add(error.partition)
            self.consumer.pause(error.topic, error.partition)
            logger.error("a partition stopped", partition=error.partition, error=error.message)
            return []

    def _pause(self) -> float:
        """How long a poll may wait: what waits to be finished must not wait for the next event for long."""
        if self._under_way is not None or self._retention.more:
            return 0.0
        return (
            0.02 if self._relay.waiting or any(s.relayed or s.passed for s in self.tasks.values()) else IDLE_S
        )

    def _judge(self, records: Sequence[Record]) -> list[RulesTask]:
        """The partitions that the records belong to, as far as they are ours."""
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        active = [(self.tasks[p], part) for p, part in by_partition.items() if p in self.tasks]
        poison = [entry for task, part in active for entry in task.apply(part)]
        for some in chunked(
            poison, memory_of
        ):  # before the commit: a crash repeats a dead letter, and loses none
            self._log.append(DEAD_LETTERS, some).result(timeout=30)
            telemetry.DEAD_LETTERED.labels("rules").inc(len(some))
        return [task for task, _ in active]

    def _moments(self) -> None:
        """Wall clock: what is due runs once everything that was posted before has been read."""
        now = self._clock.now()
        running = [task for partition, task in self.tasks.items() if partition not in self.halted]
        waiting = [task for task in running if task.due(now)]
        gated = [task for task in running if task.engine.parked]
        if not waiting and not gated:
            return
        upto = self._upto(now) if any(task.gate is None for task in gated) else 0
        ends, read = self.consumer.end_offsets(), self.consumer.positions()
        lanes = {(EVENTS, task.row.partition): task for task in waiting}
        ready = [task for lane, task in lanes.items() if lane in ends and read.get(lane, -1) >= ends[lane]]
        for task in ready:
            task.advance_to(now)
        for task in gated:
            lane = (EVENTS, task.row.partition)
            if task.gate is None and lane in ends:
                task.gate = MergeBarrier(upto, ends[lane])
            if task.gate is not None and read.get(lane, -1) >= task.gate.end:
                task.release()
                ready.append(task)
        if not ready:
            return
        self._settle()
        self._commit([task for task in {*ready} if task.dirty], 0, time.perf_counter())

    def _upto(self, now: int) -> int:
        """All that came to any partition before this time is judged, and on the log where it was to be sent on.

        The log may hold what is no record behind the last one (see `Consumer.positions`).
        """
        ends = self._log.end_offsets(EVENTS)
        with self._db.read() as conn:
            places, oldest = queries.positions(conn), queries.oldest_outgoing(conn)
        upto = min([now - GRACE_US, *(at - 1 for at in oldest.values())])
        for number, end in ends.items():
            place = places.get(number) or queries.PartitionRow(number, 0, 0, 0, 0)
            if place.next_offset < end and place.clock < upto and self._holds(number, place.next_offset):
                upto = place.clock
        return upto

    def _holds(self, partition: int, offset: int) -> bool:
        """Whether the log holds a record from an offset on."""
        try:
            return bool(self._log.read(EVENTS, partition, offset, 1))
        except OffsetOutOfRange:
            return True  # whoever keeps that partition has stopped there

    def _commit(self, tasks: Sequence[RulesTask], records: int, started: float) -> None:
        """Write; a large batch is only begun, and `_settle` sees to the rest."""
        if not tasks:
            return
        now = self._clock.now()
        changes = [(task, task.take(now)) for task in tasks]
        new = self._seen.take()
        written = [change for _, change in changes]
        if records < BESIDE:  # at once: every change of thread is a wait for the interpreter
            self._write(written, new)
            self._finish(changes, records, started)
        else:
            done = self._writer.submit(self._write, written, new)
            self._under_way = Commit(changes, records, started, done)

    def _write(self, changes: Sequence[WriteSet], new: list[tuple[str, str]]) -> None:
        """The transaction; with a backlog in a thread of its own."""
        with self._db.write() as conn:
            for change in changes:
                change.save(conn)
            event_catalog.save(conn, new)
            hit("rules.before_commit")
        hit("rules.after_commit_before_relay")

    def _settle(self) -> None:
        """Wait for the transaction under way, if there is one. Raises what it raised."""
        commit, self._under_way = self._under_way, None
        if commit is None:
            return
        commit.done.result()
        self._finish(commit.changes, commit.records, commit.started)

    def _finish(self, changes: Sequence[tuple[RulesTask, WriteSet]], records: int, started: float) -> None:
        """What was written stands."""
        self.consumer.commit({(EVENTS, c.row.partition): c.row.next_offset for _, c in changes})
        for task, change in changes:
            task.committed(change)
            count_decisions(change.reasons)
            telemetry.CLOCK.labels("rules", str(change.row.partition)).set(change.row.clock / 1e6)
        self._shown = show_health([task.engine.unhealthy for task in self.tasks.values()], self._shown)
        if records:
            EVENTS_DECIDED.inc(records)
            telemetry.BATCH_SECONDS.labels("rules").observe(time.perf_counter() - started)

    def _assigned(self, numbers: list[int]) -> dict[tuple[str, int], int]:
        """These partitions are ours from now on: raise their epochs and say where to go on reading."""
        self._settle()
        rows = queries.take(self._db, numbers, self._log.start_offsets(EVENTS))
        for row in rows:
            self.tasks[row.partition] = RulesTask(
                row,
                self._db,
                self._log,
                clock_mode=self._mode,
                rulesets=self._rulesets,
                seen=self._seen,
                room=self._room,
                stay=self.consumer.stay,
            )
        self._relay.recover(rows)
        return {(EVENTS, row.partition): row.next_offset for row in rows}

    def _revoked(self, numbers: list[int]) -> None:
        if self._under_way is not None:
            wait([self._under_way.done])  # it may still stand; whether it does, `_settle` says
        for number in numbers:
            self.tasks.pop(number, None)
        self._unhalt()

    def _unhalt(self) -> None:
        """Whoever gets the partitions next finds out for himself."""
        if self.halted:
            self.halted.clear()
            self.failure = None

    def restart(self) -> None:
        """Drop what is in memory and, as soon as the servers answer, ask for partitions anew.

        Those we get start from what is stored.
        """
        if self._under_way is not None:
            wait([self._under_way.done])
            self._under_way = None
        self.tasks.clear()
        self._unhalt()
        self._relay.forget()
        while not self._stopping.wait(RETRY_S):
            if self._db.ping() and self._log.ready():
                break
        self._seen.forget()
        self.consumer.rejoin()
