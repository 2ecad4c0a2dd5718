"""The rules worker: one thread that reads events, lets the engine judge, and commits everything at once.

Per batch one transaction holds account states, triggers (the outbox) and how far each partition has come, fenced by
the partition's epoch. Then the triggers go to `touchline.triggers`, followed by how far rules has come.
"""

import threading
import time
from collections.abc import Sequence

from backbone import telemetry
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import DatabaseUnavailable, LogUnavailable
from backbone.failpoint import hit
from backbone.log import DEAD_LETTERS, EVENTS, Log, Record
from services.rules import store
from services.rules.metrics import count_decisions, show_health
from services.rules.relay import Relay
from services.rules.revisions import RuleSets
from services.rules.seen import Seen
from services.rules.shard import Shard

GROUP = "touchline-rules"
BATCH = 20_000  # records a transaction at most
IDLE_S = 0.2  # how long a poll waits when nothing comes; moments are looked at this often
RETRY_S = 0.5  # pause between attempts while the log or the database is away, or a partition is another's

logger = telemetry.get_logger("touchline.rules")


class Worker:
    """Owns the partitions that the log assigns to this process."""

    def __init__(self, db: Database, log: Log, clock: Clock, *, clock_mode: str) -> None:
        self._db, self._log, self._clock, self._mode = db, log, clock, clock_mode
        self._rulesets = RuleSets(db)
        self._relay = Relay(db, log)
        self._seen = Seen(db)
        self.shards: dict[int, Shard] = {}
        self._stopping = threading.Event()
        self._consumer = log.consumer(GROUP, [EVENTS])
        self._thread = threading.Thread(target=self._run, name="rules-worker", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to work, in a thread of its own."""
        self.join()
        self._thread.start()

    def join(self) -> None:
        """Join the group of workers; `beat` does the rest."""
        self._consumer.subscribe(self._assigned, self._revoked)

    def stop(self) -> None:
        """Finish the batch in hand and leave; returns when the thread has ended."""
        self._stopping.set()
        self._consumer.wake()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        else:
            self._consumer.close()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def unreported(self) -> int:
        """Partitions whose progress is not on `touchline.triggers` yet."""
        return sum(shard.reported != shard.row.next_offset for shard in list(self.shards.values()))

    def unhealthy(self, rule: str) -> str | None:
        """What is wrong with a rule that failed in a partition of this process, or None."""
        for shard in list(self.shards.values()):
            if rule in shard.engine.unhealthy:
                return str(shard.engine.unhealthy[rule])
        return None

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.beat()
            except (store.Fenced, DatabaseUnavailable, LogUnavailable, TimeoutError) as error:
                logger.warning("batch abandoned; starting again from what is stored", error=repr(error))
                self._start_again()
            except Exception as error:
                self.failure = error
                logger.exception("the rules worker stopped")
                break
        self._consumer.close()

    def beat(self) -> None:
        """One round: read, judge, commit, relay."""
        records = self._consumer.poll(self._pause(), BATCH)
        if records:
            hit("rules.after_poll")
            self._apply(records)
        else:
            self._commit([shard for shard in self.shards.values() if shard.dirty])
        if self._mode == "wall":
            self._moments()
        self._relay.flush(self.shards.values())

    def _pause(self) -> float:
        """How long a poll may wait: marking what was relayed must not wait for the next event for long."""
        return 0.02 if any(shard.relayed for shard in self.shards.values()) else IDLE_S

    def _apply(self, records: Sequence[Record]) -> None:
        started = time.perf_counter()
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        active = [(self.shards[p], part) for p, part in by_partition.items() if p in self.shards]
        poison = [entry for shard, part in active for entry in shard.apply(part)]
        if poison:  # before the commit: a crash in between repeats a dead letter, and loses none
            self._log.append(DEAD_LETTERS, poison).result(timeout=30)
            telemetry.DEAD_LETTERED.labels("rules").inc(len(poison))
        self._commit([shard for shard, _ in active])
        telemetry.EVENTS_DECIDED.inc(len(records))
        telemetry.BATCH_SECONDS.labels("rules").observe(time.perf_counter() - started)

    def _moments(self) -> None:
        """Wall clock: what is due runs once everything that was posted before has been read."""
        now = self._clock.now()
        waiting = [shard for shard in self.shards.values() if shard.due(now)]
        if not waiting:
            return
        ends, read = self._consumer.end_offsets(), self._consumer.positions()
        lanes = {(EVENTS, shard.row.partition): shard for shard in waiting}
        ready = [shard for lane, shard in lanes.items() if lane in ends and read.get(lane, -1) >= ends[lane]]
        for shard in ready:
            shard.beat(now)
        self._commit([shard for shard in ready if shard.dirty])

    def _commit(self, shards: Sequence[Shard]) -> None:
        if not shards:
            return
        now = self._clock.now()
        with self._db.write() as conn:
            for shard in shards:
                shard.save(conn, now)
            self._seen.save(conn)
            hit("rules.before_commit")
        hit("rules.after_commit_before_relay")
        self._consumer.commit({(EVENTS, shard.row.partition): shard.row.next_offset for shard in shards})
        for shard in shards:
            count_decisions(shard.committed())
            show_health(shard.engine.unhealthy)
            telemetry.CLOCK.labels("rules", str(shard.row.partition)).set(shard.row.clock / 1e6)

    def _assigned(self, numbers: list[int]) -> dict[tuple[str, int], int]:
        """These partitions are ours from now on: raise their epochs and say where to go on reading."""
        rows = store.take(self._db, numbers, self._log.start_offsets(EVENTS))
        for row in rows:
            self.shards[row.partition] = Shard(
                row, self._db, self._log, clock_mode=self._mode, rulesets=self._rulesets, seen=self._seen
            )
        self._relay.recover(rows)
        return {(EVENTS, row.partition): row.next_offset for row in rows}

    def _revoked(self, numbers: list[int]) -> None:
        for number in numbers:
            self.shards.pop(number, None)

    def _start_again(self) -> None:
        """Drop what is in memory and, as soon as the servers answer, ask for partitions anew.

        Those we get start from what is stored.
        """
        self.shards.clear()
        while not self._stopping.wait(RETRY_S):
            if self._db.ping() and self._log.ready():
                break
        self._consumer.rejoin()
