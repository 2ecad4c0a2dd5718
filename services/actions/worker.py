"""The actions worker: one thread that reads both topics, runs plays, and commits everything at once.

Per batch one transaction holds plays, actions, tasks, profiles, the events about them (the outbox) and how
far each partition has come, fenced by the partition's epoch. Rendering happens before the commit. A batch
that concerned no play and no profile is not committed by itself: applying it again changes nothing.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from sqlalchemy import Connection

from backbone import telemetry
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import DatabaseUnavailable, LogUnavailable
from backbone.failpoint import hit
from backbone.log import DEAD_LETTERS, EVENTS, TRIGGERS, Log, OffsetOutOfRange, Record
from services.actions.metrics import count_actions, count_plays, measure
from services.actions.partition_task import ActionsTask, MergeBarrier
from services.actions.plays.model import Renderer
from services.actions.plays.processor import GRACE_US, ClockMode
from services.actions.storage import outbox, ownership
from services.actions.storage.library import SqlLibrary
from services.actions.storage.retention import KEPT_US, Retention

GROUP = "touchline-actions"
BATCH = 5_000  # records a poll at most
IDLE_S = 0.1  # how long a poll waits when nothing comes; waits and the outbox are looked at this often
LAZY_S = 1.0  # how long the place of batches that changed nothing may stay uncommitted
ROUND_S = 1.0  # after which new records are read, and told, though there is more to apply
RELAY = 500  # events of the outbox in one append
RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)  # pauses between attempts while the log or the database is away

log_ = telemetry.get_logger("touchline.actions")


class Reading:
    """A transaction to read in, opened by the first `connect`."""

    def __init__(self, db: Database, stack: ExitStack) -> None:
        self._db, self._stack = db, stack
        self.conn: Connection | None = None

    def connect(self) -> Connection:
        """The connection."""
        if self.conn is None:
            self.conn = self._stack.enter_context(self._db.read())
        return self.conn


class ActionsWorker:
    """Owns the partitions that the log assigns to this process."""

    def __init__(
        self,
        db: Database,
        log: Log,
        clock: Clock,
        renderer: Renderer,
        *,
        mode: ClockMode,
        on_due: Callable[[], None] = lambda: None,
        idle: float = IDLE_S,
        keep: int = KEPT_US,
    ) -> None:
        self._db, self._log, self._clock, self._renderer, self._mode = db, log, clock, renderer, mode
        self._idle = idle
        self._on_due = on_due  # called after a commit that left actions to be sent
        self._open: Reading | None = None
        self._retention = Retention(db, clock, keep)
        self.library = SqlLibrary(db, self._connect)
        self.tasks: dict[int, ActionsTask] = {}
        self._paused: set[tuple[str, int]] = set()
        self._committed_at = 0.0
        self._outbox = threading.Event()  # something may wait in the outbox
        self._looked_at = 0.0
        self._more = False  # the last round left something that can be applied
        self._stopping = threading.Event()
        self.consumer = log.consumer(GROUP, [EVENTS, TRIGGERS])
        self._thread = threading.Thread(target=self._run, name="actions-worker", daemon=True)
        self.failure: BaseException | None = None
        self.halted: set[tuple[str, int]] = set()  # lanes that stopped for good, while they are ours

    # -- life

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

    def wake(self) -> None:
        """From any thread: something was put into the outbox."""
        self._outbox.set()
        self.consumer.wake()

    def playbook_saved(self) -> None:
        """From any thread: look again which types of events playbooks wait for."""
        self.library.stale = True

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.run_once()
            except (ownership.Fenced, DatabaseUnavailable, LogUnavailable, OSError) as error:
                log_.warning("batch abandoned; starting again from what is stored", error=error)
                self.restart()
            except Exception as error:
                self.failure = error
                log_.exception("the actions worker stopped")
                break
        self.consumer.close()

    # -- one round

    def run_once(self) -> None:
        """One round: read, apply, commit, relay."""
        records = self._poll()
        self.library.refresh()
        if records:
            hit("actions.after_poll")
        self._offer(records)
        until = time.monotonic() + ROUND_S
        while (more := self._batch(idle=not records)) and time.monotonic() < until:
            pass
        self._more = more
        if self._retention.sweep(self.tasks.values(), self._clock.now() if self._mode == "wall" else None):
            self._outbox.set()
        self._throttle()
        self._relay()

    def _poll(self) -> list[Record]:
        """Records. A lane whose records were deleted before they were read stops; the other partitions go on."""
        try:
            return self.consumer.poll(self._pause(), BATCH)
        except OffsetOutOfRange as error:
            self.failure = error
            self.halted.add((error.topic, error.partition))
            self.consumer.pause(error.topic, error.partition)
            log_.error("a partition stopped", partition=error.partition, error=error.message)
            return []

    def _pause(self) -> float:
        """How long a poll may wait: a place not yet committed must not wait for the next event for long."""
        if self._more or self._retention.more:
            return 0.0
        return min(0.02, self._idle) if any(task.moved for task in self.tasks.values()) else self._idle

    def _offer(self, records: Sequence[Record]) -> None:
        parts: dict[int, list[Record]] = {}
        for record in records:
            parts.setdefault(record.partition, []).append(record)
        poison = [
            entry for p, part in parts.items() if p in self.tasks for entry in self.tasks[p].offer(part)
        ]
        if poison:  # before the commit: a crash in between repeats a dead letter, and loses none
            telemetry.DEAD_LETTERED.labels("actions").inc(len(poison))
            self._log.append(DEAD_LETTERS, poison).result(timeout=30)

    def _batch(self, *, idle: bool) -> bool:
        """Apply what can be applied, and commit it; whether there may be more."""
        started = time.perf_counter()
        self.consumer.stay()
        with self._reading() as reading:
            steps = sum(task.run() for task in self.tasks.values())
            if self._mode == "wall":
                steps += self._waits()
            quiet = reading.conn is None
        moved = [task for task in self.tasks.values() if task.moved]
        if not moved or (quiet and not idle and time.monotonic() - self._committed_at < LAZY_S):
            self._end_batch()
            return bool(steps)
        for task in moved:
            task.render(self._renderer, self.consumer.stay)
        self._commit(moved)
        telemetry.BATCH_SECONDS.labels("actions").observe(time.perf_counter() - started)
        return bool(steps)

    def _commit(self, tasks: Sequence[ActionsTask]) -> None:
        now = self._clock.now()
        due = 0
        actions: Counter[tuple[str, str, str]] = Counter()
        with self._db.write() as conn:
            for task in tasks:
                written = task.save(conn, now)
                due += written.due
                actions += written.actions
            hit("actions.before_commit")
        hit("actions.after_commit_before_relay")
        self._committed_at = time.monotonic()
        for task in tasks:
            measure(task.plays.answered, self._clock.now(), log_clock=self._mode == "log")
            count_plays(task.committed())
        count_actions(actions)
        self._end_batch()
        self._outbox.set()
        self._report(tasks)
        if due:
            self._on_due()

    def _waits(self) -> int:
        """Wall clock: what is due runs once everything that was posted before has been applied.

        The places read up to say so, not the last event: behind it the log may hold what is none (see `positions`).
        """
        now = self._clock.now()
        waiting = [task for task in self.tasks.values() if task.due(now)]
        if not waiting:
            return 0
        held = [task for task in waiting if task.plays.held]
        upto = self._upto(now) if any(task.gate is None for task in held) else 0
        ends, read = self.consumer.end_offsets(), self.consumer.positions()
        for task in held:
            lane = (EVENTS, task.row.partition)
            if task.gate is None and lane in ends:
                task.gate = MergeBarrier(upto, ends[lane])
            task.clear(read.get(lane, -1))
        lanes = {(EVENTS, task.row.partition): task for task in waiting}
        ready = [task for lane, task in lanes.items() if lane in ends and read.get(lane, -1) >= ends[lane]]
        return sum(task.advance_to(now) for task in ready)

    def _upto(self, now: int) -> int:
        """All that came to any partition before this time has passed rules, and is on the log where it was sent on.

        Rules tells how far it is once what it has for others is there; the log may hold what is no record behind that.
        """
        ends = self._log.end_offsets(EVENTS)
        with self._db.read() as conn:
            places = ownership.positions(conn)
        upto = now - GRACE_US
        for number, end in ends.items():
            past, clock = (places[number].past, places[number].clock) if number in places else (0, 0)
            if past < end and clock < upto and self._holds(number, past):
                upto = clock
        return upto

    def _holds(self, partition: int, offset: int) -> bool:
        """Whether the log holds a record from an offset on."""
        try:
            return bool(self._log.read(EVENTS, partition, offset, 1))
        except OffsetOutOfRange:
            return True  # rules stands where the log holds nothing, and so do we

    @contextmanager
    def _reading(self) -> Iterator[Reading]:
        """What the batch reads from; the transaction is opened by the first `_connect`."""
        with ExitStack() as stack:
            self._open = Reading(self._db, stack)
            try:
                yield self._open
            finally:
                self._open = None

    def _connect(self) -> Connection:
        if self._open is None:
            raise RuntimeError("read outside of a batch")
        return self._open.connect()

    def _end_batch(self) -> None:
        """Forget what the batch read: from here on it may change."""
        self.library.end_batch()
        for task in self.tasks.values():
            task.store.end(committed=True)

    def _report(self, tasks: Sequence[ActionsTask]) -> None:
        """Tell the log how far we are, for its monitoring."""
        events = {(EVENTS, task.row.partition): task.row.next_event for task in tasks}
        triggers = {(TRIGGERS, task.row.partition): task.row.next_trigger for task in tasks}
        self.consumer.commit(events | triggers)

    def _throttle(self) -> None:
        """Pause a lane whose records cannot be applied yet, so that memory stays bounded."""
        for number, task in self.tasks.items():
            for topic in (EVENTS, TRIGGERS):
                lane, full = (topic, number), task.full(topic)
                if lane in self.halted:
                    continue
                if full and lane not in self._paused:
                    self.consumer.pause(*lane)
                    self._paused.add(lane)
                elif not full and lane in self._paused:
                    self.consumer.resume(*lane)
                    self._paused.discard(lane)

    # -- the outbox

    def _relay(self) -> None:
        """Append what waits in the outbox of our partitions to touchline.events, then drop it."""
        if not self._outbox.is_set() and time.monotonic() - self._looked_at < self._idle:
            return
        self._outbox.clear()
        self._looked_at = time.monotonic()
        while True:
            with self._db.read() as conn:
                rows = outbox.waiting(conn, list(self.tasks), RELAY)
            if not rows:
                return
            outbox.append(self._log, rows)
            hit("actions.after_relay_before_mark")
            with self._db.write() as conn:
                outbox.relayed(conn, rows)

    # -- owning partitions

    def _assigned(self, numbers: list[int]) -> dict[tuple[str, int], int]:
        """These partitions are ours from now on: raise their epochs and say where to go on reading."""
        rows = ownership.take(
            self._db, numbers, self._log.start_offsets(EVENTS), self._log.start_offsets(TRIGGERS)
        )
        self._paused.clear()
        self.library.moved = True
        self._retention.mine(numbers)
        for row in rows:
            self.tasks[row.partition] = ActionsTask(
                row,
                connect=self._connect,
                library=self.library,
                mode=self._mode,
                partitions=self._log.partitions,
            )
        self._outbox.set()
        offsets = {(EVENTS, row.partition): row.next_event for row in rows}
        return offsets | {(TRIGGERS, row.partition): row.next_trigger for row in rows}

    def _revoked(self, numbers: list[int]) -> None:
        for number in numbers:
            self.tasks.pop(number, None)
        self._paused.clear()
        self._unhalt()

    def _unhalt(self) -> None:
        """Whoever gets the partitions next finds out for himself."""
        if self.halted:
            self.halted.clear()
            self.failure = None

    def restart(self) -> None:
        """Drop what is in memory and, as soon as the servers answer, ask for a share of the partitions anew.

        Never take the same ones back unasked: after a long stop they may be another worker's.
        """
        self.library.end_batch()
        self.tasks.clear()
        self._paused.clear()
        self._unhalt()
        for attempt in range(1_000_000):
            if self._stopping.wait(RETRY_S[min(attempt, len(RETRY_S) - 1)]):
                return
            if self._db.ping() and self._log.ready():
                break
        self.consumer.rejoin()
