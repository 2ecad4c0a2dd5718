"""The actions worker: one thread that reads both topics, runs plays, and commits everything at once.

Each batch is one transaction: plays, actions, tasks, profiles, the events about them (the outbox) and how far each
partition has been applied, fenced by the partition's epoch. Templates are rendered before the commit. A batch
that touched no play and no profile gets no commit of its own: applying it again changes nothing.
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
from backbone.failpoint import hit
from backbone.log import EVENTS, TRIGGERS, Log, Record
from backbone.partition_worker import Barrier, PartitionWorker
from services.actions.digest_rounds import DigestRounds
from services.actions.metrics import count_actions, count_plays, count_trips, measure
from services.actions.partition_task import ActionsTask
from services.actions.plays.model import DraftRendering
from services.actions.plays.processor import GRACE_US, ClockMode
from services.actions.storage import approvals, digests, outbox, partition_mails
from services.actions.storage.batch_holds import BatchHolds
from services.actions.storage.library import SqlLibrary
from services.actions.storage.ownership import OWNERSHIP, ActionsPartition
from services.actions.storage.partition_mails import MailOffice
from services.actions.storage.retention import KEPT_US, Retention
from services.actions.storage.sending_policy import PolicyReader
from services.actions.storage.suppressions import Hasher

GROUP = "touchline-actions"
BATCH = 5_000  # most records in one poll
IDLE_S = 0.1  # how long a poll waits for a record; plays' waits and the outbox are looked at this often
LAZY_S = 1.0  # how long the offsets of batches that changed nothing may stay uncommitted
ROUND_S = 1.0  # after this time a round polls and relays, even if there is more to apply
RELAY = 500  # events of the outbox in one append


class Reading:
    """A read transaction, opened by the first `connect`."""

    def __init__(self, db: Database, stack: ExitStack) -> None:
        self._db, self._stack = db, stack
        self.conn: Connection | None = None

    def connect(self) -> Connection:
        """The connection of the transaction."""
        if self.conn is None:
            self.conn = self._stack.enter_context(self._db.read())
        return self.conn


class ActionsWorker(PartitionWorker[ActionsPartition, ActionsTask]):
    """Runs the plays of the partitions that the log assigns to this process."""

    def __init__(
        self,
        db: Database,
        log: Log,
        clock: Clock,
        renderer: DraftRendering,
        *,
        mode: ClockMode,
        on_due: Callable[[], None] = lambda: None,
        idle: float = IDLE_S,
        keep: int = KEPT_US,
        hasher: Hasher | None = None,
    ) -> None:
        """`hasher`: of addresses; with the log clock, for the mails that wait."""
        super().__init__(db, log, OWNERSHIP, name="actions", group=GROUP)
        self._clock, self._renderer, self._mode = clock, renderer, mode
        self._idle = idle
        self._on_due = on_due  # called after a commit with actions that are due
        self._open: Reading | None = None
        self._retention = Retention(db, clock, keep)
        self.library = SqlLibrary(db, self._connect)
        self.holds = BatchHolds(db, self._connect, self._fresh_accounts)
        self._office: MailOffice | None = None
        if hasher is not None and mode == "log":
            self._office = MailOffice(hasher, renderer, PolicyReader())
        self._digests = DigestRounds(
            db, log, clock, mode, self.library, self._connect, hasher, self.holds_record, look=2 * idle
        )
        self._late: dict[int, int] = {}  # since when mails of digests were not looked at, by partition
        self._behind: set[int] = set()  # partitions in which plays may go on that stood still or were held
        self._paused: set[tuple[str, int]] = set()
        self._committed_at = 0.0
        self._outbox = threading.Event()  # something may wait in the outbox
        self._looked_at = 0.0
        self._more = False  # the last round left something that can be applied

    def open_task(self, row: ActionsPartition) -> ActionsTask:
        """See `PartitionWorker.open_task`."""
        return ActionsTask(
            row,
            connect=self._connect,
            library=self.library,
            mode=self._mode,
            partitions=self._log.partitions,
            holds=self.holds,
            office=self._office,
        )

    def _fresh_accounts(self) -> int:
        return sum(task.store.fresh_accounts for task in self.tasks.values())

    def wake(self) -> None:
        """Relay at once what was put into the outbox. From any thread."""
        self._outbox.set()
        super().wake()

    def playbook_saved(self) -> None:
        """Learn anew which event types playbooks look out for. From any thread."""
        self.library.stale = True

    def holds_changed(self) -> None:
        """Learn at once that something was paused, resumed or released. From any thread."""
        self.holds.stale = True
        self.wake()

    # -- one round

    def work(self, records: Sequence[Record]) -> None:
        """Do one round: apply, commit, relay."""
        self.library.refresh()
        if self.holds.moved():
            self._look_anew()
        if records:
            hit("actions.after_poll")
        self._offer(records)
        until = time.monotonic() + ROUND_S
        while (more := self._batch(idle=not records)) and time.monotonic() < until:
            pass
        self._more = more
        self._send_digests()
        if self._retention.sweep(self.tasks.values(), self._clock.now() if self._mode == "wall" else None):
            self._outbox.set()
        self._throttle()
        self._relay()

    def _send_digests(self) -> None:
        """Send the digests whose moment has come, of the home partitions that are ours."""
        mine = {task.row.partition: task.row for task in self.running()}
        with self._reading():
            found = self._digests.find(mine)
        self.library.end_batch()
        if not found:
            return
        due = self._digests.send(found, mine, self._renderer, self.consumer.stay)
        for one in found if self._mode == "log" else ():
            self._late[one.home] = min(self._late.get(one.home, one.moment), one.moment)
        self._outbox.set()
        if due:
            self._on_due()

    def _look_anew(self) -> None:
        """Look again at all waits: plays may go on that stood still, and held ones begin."""
        for task in self.tasks.values():
            task.store.floor = task.store.approvals.floor = 0
        self._behind = set(self.tasks)

    def poll_limits(self) -> tuple[float, int]:
        """A poll waits only briefly while offsets are uncommitted: their commit must not wait for the next event."""
        if self._more or self._retention.more or self._digests.more or self._late:
            return 0.0, BATCH
        moved = any(task.moved for task in self.tasks.values())
        return (min(0.02, self._idle) if moved else self._idle), BATCH

    def _offer(self, records: Sequence[Record]) -> None:
        self.put_aside([letter for task, part in self.by_task(records) for letter in task.offer(part)])

    def _batch(self, *, idle: bool) -> bool:
        """Apply the records that can be applied, and commit; returns whether there may be more."""
        started = time.perf_counter()
        self.consumer.stay()
        with self._reading() as reading:
            steps = sum(task.run() for task in self.tasks.values())
            steps += self._waits() if self._mode == "wall" else self._catch_up()
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
            paused = self.holds.verify(conn, now)
            if any(task.store.approvals.gave_up for task in tasks):
                approvals.verify(conn)
            if self._office is not None:
                partition_mails.verify(conn, [task.store.mails for task in tasks])
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
        count_trips(paused)
        self._end_batch()
        self._outbox.set()
        self._report(tasks)
        if due:
            self._on_due()

    def _waits(self) -> int:
        """Run the plays' waits that are due by the wall clock; returns how many steps that took.

        A wait runs once every event that was posted before its moment has been applied. The read positions tell
        that, not the last event: entries that are no records may follow it (see `positions`).
        """
        now = self._clock.now()
        waiting = [task for task in self.running() if task.due(now)]
        if not waiting:
            return 0
        held = [task for task in waiting if task.plays.held]
        upto = self._upto(now) if any(task.gate is None for task in held) else 0
        places = self.positions(EVENTS)
        for task in held:
            place = places.get(task.row.partition)
            if place is not None and task.gate is None:
                task.gate = Barrier(upto, place.end)
            task.clear(-1 if place is None else place.next)
        ready = [task for task in waiting if (at := places.get(task.row.partition)) and at.at_end]
        return sum(task.advance_to(now) for task in ready)

    def _catch_up(self) -> int:
        """With the log clock: let plays go on that stood still or were held, in partitions that are read to their end;
        returns how many steps that took."""
        late, self._late = self._late, {}
        steps = sum(
            self.tasks[number].look_back(since) for number, since in late.items() if number in self.tasks
        )
        if not self._behind:
            return steps
        places = self.positions(EVENTS)
        for task in self.running():
            number = task.row.partition
            if number in self._behind and (at := places.get(number)) is not None and at.at_end:
                done = task.catch_up()
                if not done and task.plays.merge.caught_up():
                    self._behind.discard(number)
                steps += done
        return steps

    def _upto(self, now: int) -> int:
        """The time up to which rules has read every partition. What it forwarded from there is on the log.

        Rules reports its progress only once the records that it forwards are on the log. Entries that are no records
        may follow the last record of which it reports.
        """
        ends = self._log.end_offsets(EVENTS)
        with self._db.read() as conn:
            places = OWNERSHIP.positions(conn)
        upto = now - GRACE_US
        for number, end in ends.items():
            past, clock = (places[number].past, places[number].clock) if number in places else (0, 0)
            if past < end and clock < upto and self.holds_record(EVENTS, number, past):
                upto = clock
        return upto

    @contextmanager
    def _reading(self) -> Iterator[Reading]:
        """The transaction that the batch reads in; the first `_connect` opens it."""
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
        """Forget what the batch read: it may change from here on."""
        self.library.end_batch()
        for task in self.tasks.values():
            task.store.end(committed=True)
        self.holds.end_batch()

    def _report(self, tasks: Sequence[ActionsTask]) -> None:
        """Commit our offsets to the log, for its monitoring only."""
        self.consumer.commit(
            {lane: offset for task in tasks for lane, offset in OWNERSHIP.lanes(task.row).items()}
        )

    def _throttle(self) -> None:
        """Pause reading where too many records wait to be applied, so that memory stays bounded."""
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
        """Append the outbox rows of our partitions to touchline.events, then delete them."""
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

    def claimed(self, rows: Sequence[ActionsPartition]) -> None:
        """Look at everything anew: an earlier owner may have left work, and nothing is paused yet."""
        self._paused.clear()
        self.library.moved = True
        self._behind |= {row.partition for row in rows}
        if self._mode == "log":
            with self._db.read() as conn:
                self._late |= digests.looks(conn, [row.partition for row in rows])
        self._retention.mine([row.partition for row in rows])
        self._outbox.set()

    def revoked(self) -> None:
        """Forget what is paused: it is no longer ours."""
        self._paused.clear()

    def forget(self) -> None:
        """Drop what the batch read, together with the batch."""
        self.library.end_batch()
        self.holds.end_batch()
        self._paused.clear()
