"""The rules worker as `touchline serve` runs it: from the log to committed states, offsets and triggers."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from backbone.clock import WallClock
from backbone.database import Database
from backbone.log import EVENTS, TRIGGERS, Entry, Log, open_log
from backbone.migrations import migrate_all
from backbone.settings import Settings, load_settings
from bench.engine import floor
from bench.measure import RULES, SCALE, Result, paired, seconds
from bench.workload import TIERS, accounts, lines, rule_documents
from schemas.rule import RuleIn, TiersDoc
from services.rules.storage import queries
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import partitions
from services.rules.worker import RulesWorker

COUNT = int(200_000 * SCALE)
PART = 5_000  # records appended at once


def durable(tick: Callable[[], None]) -> list[Result]:
    """Events a second with everything durable, against the floor, by number of rules."""
    results = []
    for rules in RULES:
        cpu: list[float] = []
        ours, base, raw = paired(partial(rate, rules, cpu), partial(floor, timed=seconds))
        busy = statistics.median(cpu)
        note = f"{COUNT / busy:,.0f} events a second of CPU time, {COUNT / busy / floor():.1%} of the floor's"
        raw["ours_cpu"] = [round(COUNT / each, 1) for each in cpu]
        results.append(Result("durable", ours, "events/s", rules, base, raw, note))
        tick()
    return results


def rate(rules: int, cpu: list[float], *, count: int = COUNT, partitions: int = 8) -> float:
    """Events a second on the embedded log and SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            data_dir=Path(folder), clock="log", log_retention="3650d", partitions=partitions
        )
        return count / catch_up(settings, rules, count, cpu)


def catch_up(settings: Settings, rules: int, count: int, cpu: list[float]) -> float:
    """Seconds in which the worker works off the workload's first events, rules and accounts known before.

    CPU seconds of the process are added to `cpu`.
    """
    bench = Bench(settings, rules)
    try:
        bench.append_accounts()
        bench.work_off()
        bench.append_events(count)
        before = time.process_time()
        taken = seconds(bench.work_off)
        cpu.append(time.process_time() - before)
        return taken
    finally:
        bench.close()


class Bench:
    """A log and a database with rules in force, and a worker of this process unless `working` is false."""

    def __init__(self, settings: Settings, rules: int, *, working: bool = True) -> None:
        self._db, clock = Database(settings.url), WallClock()
        migrate_all(self._db)
        self._log = open_log(settings)
        saver = RuleRepository(self._db, self._log, clock)
        with self._db.write() as conn:
            saver.tiers(conn, TiersDoc.model_validate(TIERS), None, "bench")
            for document in rule_documents(rules):
                saver.create(conn, RuleIn.model_validate(document), "bench")
            _in_force(conn, self._log)
        self._worker = RulesWorker(self._db, self._log, clock, clock_mode="log") if working else None
        if self._worker is not None:
            self._worker.join()

    def append(self, keys: Iterable[str], values: Iterable[bytes]) -> None:
        """Append in parts that fit into the producer's queue."""
        entries = [Entry(value=value, key=key) for key, value in zip(keys, values, strict=True)]
        for start in range(0, len(entries), PART):
            self._log.append(EVENTS, entries[start : start + PART]).result()

    def append_accounts(self) -> None:
        """Append an update with every account's tier."""
        self.append([account_of(line) for line in accounts()], accounts())

    def append_events(self, count: int) -> None:
        """Append the workload's first events."""
        self.append([account_of(line) for line in lines(count)], lines(count))

    def work_off(self) -> None:
        """Run until everything appended is decided and committed."""
        assert self._worker is not None
        goal = self.goal()
        while True:
            self._worker.run_once()
            if self.done() >= goal:
                return

    def goal(self) -> int:
        """Records on the log."""
        return sum(self._log.end_offsets(EVENTS).values())

    def told(self) -> int:
        """Records that Touchline wrote about its decisions."""
        return sum(self._log.end_offsets(TRIGGERS).values())

    def done(self) -> int:
        """Records decided and committed."""
        with self._db.read() as conn:
            return conn.scalar(select(func.sum(partitions.c.next_offset))) or 0

    def close(self) -> None:
        """Leave the group, close the log and the database."""
        if self._worker is not None:
            self._worker.stop()
        self._log.close()
        self._db.close()


def account_of(line: bytes) -> str:
    """The key of an event's record."""
    return line.split(b'"account":', 1)[1].split(b'"', 2)[1].decode()


def _in_force(conn: Connection, log: Log) -> None:
    """Make every partition have the rules already, as after a restart; a worker goes through saves one by one."""
    row = {"epoch": 0, "next_offset": 0, "clock": 0, "revision": queries.last_revision(conn)}
    conn.execute(insert(partitions), [{"partition": number, **row} for number in range(log.partitions)])
