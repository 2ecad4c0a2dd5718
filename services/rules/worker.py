"""The rules worker: one thread that reads events, has the engine judge them, and commits everything at once.

Each batch has one transaction with account states, triggers (the outbox) and the progress of each partition, fenced
by the partition's epoch. Then the triggers go to `touchline.triggers`, followed by the progress.

With a backlog, a second thread writes the transaction while this one reads and judges the next batch. Only one
transaction is under way at a time, so each finds the table as the one before left it. If one fails, everything in
memory is dropped, including the batch judged in the meantime.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from backbone import telemetry
from backbone.clock import Clock
from backbone.database import Database
from backbone.failpoint import hit
from backbone.log import EVENTS, Log, Record
from backbone.partition_worker import Barrier, PartitionWorker
from services.rules import event_catalog
from services.rules.decoding import GRACE_US
from services.rules.event_catalog import EventCatalog
from services.rules.metrics import EVENTS_DECIDED, count_decisions, show_health
from services.rules.outbox_relay import OutboxRelay
from services.rules.partition_task import RulesTask
from services.rules.storage import queries
from services.rules.storage.ownership import OWNERSHIP, RulesPartition
from services.rules.storage.retention import KEPT_US, Retention
from services.rules.storage.revisions import RuleSets
from services.rules.storage.write_set import WriteSet

GROUP = "touchline-rules"
BATCH = 50_000  # records per transaction at most: the larger, the less often a busy account is written
BESIDE = 2_000  # records; a batch this large is written while the next is judged, since there will be one
IDLE_S = 0.2  # how long a poll waits for records; also how often moments are looked at
CACHE = 2 << 30  # bytes, as the setting's default


@dataclass(slots=True)
class Commit:
    """A transaction: what it writes, for how many records, and when work on them began (`time.perf_counter`)."""

    changes: list[tuple[RulesTask, WriteSet]]
    records: int
    started: float
    done: Future[None]


class RulesWorker(PartitionWorker[RulesPartition, RulesTask]):
    """Judges the events of the partitions that the log assigns to this process.

    `cache`: bytes that account states may use in memory, over all partitions; a worker with some of them uses its
    share. `keep`: microseconds for which old triggers stay.
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
        super().__init__(db, log, OWNERSHIP, name="rules", group=GROUP)
        self._clock, self._mode = clock, clock_mode
        self._room = cache // log.partitions
        self._rulesets = RuleSets(db)
        self._relay = OutboxRelay(db, log)
        self._seen = EventCatalog(db)
        self._retention = Retention(db, keep)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="rules-commit")
        self._under_way: Commit | None = None
        self._shown: set[str] = set()  # rules that are shown as unhealthy

    def open_task(self, row: RulesPartition) -> RulesTask:
        """See `PartitionWorker.open_task`."""
        return RulesTask(
            row,
            self._db,
            self._log,
            clock_mode=self._mode,
            rulesets=self._rulesets,
            seen=self._seen,
            room=self._room,
            stay=self.consumer.stay,
        )

    def unreported(self) -> int:
        """The partitions whose progress is not on `touchline.triggers` yet."""
        return sum(task.reported != task.saved.next_offset for task in list(self.tasks.values()))

    def unhealthy(self, rule: str) -> str | None:
        """What is wrong with a rule that failed in a partition of this process; None if it is well."""
        for task in list(self.tasks.values()):
            if rule in task.engine.unhealthy:
                return str(task.engine.unhealthy[rule])
        return None

    def failed(self) -> dict[str, tuple[int, str]]:
        """The rules that failed in a partition of this process: names to (version, error). From any thread."""
        return {
            rule: (task.engine.rules.by_name[rule].version, error)
            for task in list(self.tasks.values())
            for rule, error in list(task.engine.unhealthy.items())
            if rule in task.engine.rules.by_name
        }

    def work(self, records: Sequence[Record]) -> None:
        """One round: judge, commit, relay."""
        started = time.perf_counter()
        if records:
            hit("rules.after_poll")
        judged = self._judge(records)
        self._settle()
        self._commit(judged or [task for task in self.tasks.values() if task.dirty], len(records), started)
        if self._mode == "wall":
            self._moments()
        self._retention.sweep(self.tasks.values(), self._clock.now() if self._mode == "wall" else None)
        self._relay.flush(self.tasks.values())

    def poll_limits(self) -> tuple[float, int]:
        """How long a poll may wait, and its largest batch. With work to finish, a poll waits only briefly."""
        if self._under_way is not None or self._retention.more:
            return 0.0, BATCH
        finishing = self._relay.waiting or any(t.relayed or t.passed for t in self.tasks.values())
        return (0.02 if finishing else IDLE_S), BATCH

    def _judge(self, records: Sequence[Record]) -> list[RulesTask]:
        """Judge the records; returns the tasks of their partitions, as far as they are ours."""
        active = self.by_task(records)
        self.put_aside([letter for task, part in active for letter in task.apply(part)])
        return [task for task, _ in active]

    def _moments(self) -> None:
        """With the wall clock: run what is due once everything posted before has been read."""
        now = self._clock.now()
        running = list(self.running())
        waiting = [task for task in running if task.due(now)]
        gated = [task for task in running if task.engine.parked]
        if not waiting and not gated:
            return
        upto = self._upto(now) if any(task.gate is None for task in gated) else 0
        places = self.positions(EVENTS)
        ready = [task for task in waiting if (at := places.get(task.row.partition)) and at.at_end]
        for task in ready:
            task.advance_to(now)
        for task in gated:
            place = places.get(task.row.partition)
            if place is None:
                continue
            if task.gate is None:
                task.gate = Barrier(upto, place.end)
            if place.next >= task.gate.end:
                task.release()
                ready.append(task)
        if not ready:
            return
        self._settle()
        self._commit([task for task in {*ready} if task.dirty], 0, time.perf_counter())

    def _upto(self, now: int) -> int:
        """The time up to which every partition has judged its events, and the log has all that was to be forwarded.

        Behind the last record, the log may hold entries that are not records (see `Consumer.positions`).
        """
        ends = self._log.end_offsets(EVENTS)
        with self._db.read() as conn:
            places, oldest = OWNERSHIP.positions(conn), queries.oldest_outgoing(conn)
        upto = min([now - GRACE_US, *(at - 1 for at in oldest.values())])
        for number, end in ends.items():
            place = places.get(number) or RulesPartition(number, 0, 0, 0, 0)
            if (
                place.next_offset < end
                and place.clock < upto
                and self.holds_record(EVENTS, number, place.next_offset)
            ):
                upto = place.clock
        return upto

    def _commit(self, tasks: Sequence[RulesTask], records: int, started: float) -> None:
        """Write the tasks' changes. A large batch is only begun here; `_settle` finishes it."""
        if not tasks:
            return
        now = self._clock.now()
        changes = [(task, task.take(now)) for task in tasks]
        new = self._seen.take()
        written = [change for _, change in changes]
        if records < BESIDE:  # at once: every switch of threads waits for the interpreter
            self._write(written, new)
            self._finish(changes, records, started)
        else:
            done = self._writer.submit(self._write, written, new)
            self._under_way = Commit(changes, records, started, done)

    def _write(self, changes: Sequence[WriteSet], new: list[tuple[str, str]]) -> None:
        """Write the transaction; with a backlog this runs in a thread of its own."""
        with self._db.write() as conn:
            for change in changes:
                change.save(conn)
            event_catalog.save(conn, new)
            hit("rules.before_commit")
        hit("rules.after_commit_before_relay")

    def _settle(self) -> None:
        """Wait for the transaction under way, if there is one. Raises its error."""
        commit, self._under_way = self._under_way, None
        if commit is None:
            return
        commit.done.result()
        self._finish(commit.changes, commit.records, commit.started)

    def _finish(self, changes: Sequence[tuple[RulesTask, WriteSet]], records: int, started: float) -> None:
        """Follow up on a transaction that has been committed."""
        self.consumer.commit({(EVENTS, c.row.partition): c.row.next_offset for _, c in changes})
        for task, change in changes:
            task.committed(change)
            count_decisions(change.reasons)
            telemetry.CLOCK.labels("rules", str(change.row.partition)).set(change.row.clock / 1e6)
        self._shown = show_health([task.engine.unhealthy for task in self.tasks.values()], self._shown)
        if records:
            EVENTS_DECIDED.inc(records)
            telemetry.BATCH_SECONDS.labels("rules").observe(time.perf_counter() - started)

    def before_claim(self) -> None:
        """Wait for the transaction under way: it changes the rows that are about to be read."""
        self._settle()

    def claimed(self, rows: Sequence[RulesPartition]) -> None:
        """Relay what an earlier owner committed and did not relay."""
        self._relay.recover(rows)

    def revoked(self) -> None:
        """Wait for the transaction under way, which may still succeed; `_settle` finds out whether it did."""
        if self._under_way is not None:
            wait([self._under_way.done])

    def forget(self) -> None:
        """Drop the transaction under way, whatever became of it."""
        if self._under_way is not None:
            wait([self._under_way.done])
            self._under_way = None
        self._relay.forget()
        self._seen.forget()

    def finish(self) -> None:
        """Commit and relay the current work; the writer thread ends, whatever error is raised."""
        with self._writer:
            self._settle()
            self._relay.flush(self.tasks.values())
