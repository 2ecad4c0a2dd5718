"""The rules worker as `touchline serve` runs it: from the embedded log to committed states, offsets and triggers."""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from backbone.clock import WallClock
from backbone.database import Database
from backbone.log import EVENTS, Entry, Log, open_log
from backbone.migrations import migrate_all
from backbone.settings import Settings, load_settings
from bench.engine import floor
from bench.measure import RULES, SCALE, Result, paired, seconds
from bench.workload import TIERS, accounts, lines, rule_documents
from schemas.rule import RuleIn, TiersDoc
from services.rules import store
from services.rules.saving import Saver
from services.rules.tables import partitions
from services.rules.worker import Worker

COUNT = int(200_000 * SCALE)
PART = 5_000  # records appended at once


def durable(tick: Callable[[], None]) -> list[Result]:
    """Events a second with everything durable, against the floor, by number of rules."""
    results = []
    for rules in RULES:
        cpu: list[float] = []
        ours, base, raw = paired(lambda rules=rules, cpu=cpu: _rate(rules, cpu), lambda: floor(timed=seconds))  # type: ignore[misc]
        busy = statistics.median(cpu)
        note = f"{COUNT / busy:,.0f} events a second of CPU time, {COUNT / busy / floor():.1%} of the floor's"
        raw["ours_cpu"] = [round(COUNT / each, 1) for each in cpu]
        results.append(Result("durable", ours, "events/s", rules, base, raw, note))
        tick()
    return results


@lru_cache(maxsize=2)
def _keys(count: int) -> list[str]:
    return [line.split(b'"account":"', 1)[1].split(b'"', 1)[0].decode() for line in lines(count)]


def _rate(rules: int, cpu: list[float]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder), clock="log", log_retention="3650d")
        return COUNT / catch_up(settings, rules, COUNT, cpu)


def catch_up(settings: Settings, rules: int, count: int, cpu: list[float]) -> float:
    """Seconds in which the worker works off the workload's first events, rules and accounts known before.

    CPU seconds of the process are added to `cpu`.
    """
    db, clock = Database(settings.url), WallClock()
    migrate_all(db)
    log = open_log(settings)
    saver = Saver(db, log, clock)
    with db.write() as conn:
        saver.tiers(conn, TiersDoc.model_validate(TIERS), None, "bench")
        for document in rule_documents(rules):
            saver.create(conn, RuleIn.model_validate(document), "bench")
        _in_force(conn, log)
    worker = Worker(db, log, clock, clock_mode="log")
    try:
        worker.join()
        _append(log, *_tiers())
        _work_off(worker, db, log)
        _append(log, _keys(count), lines(count))
        before = time.process_time()
        taken = seconds(lambda: _work_off(worker, db, log))
        cpu.append(time.process_time() - before)
        return taken
    finally:
        worker.stop()
        log.close()
        db.close()


def _in_force(conn: Connection, log: Log) -> None:
    """Every partition has the rules already, as after a restart: a worker passes through saves one by one."""
    row = {"epoch": 0, "next_offset": 0, "clock": 0, "revision": store.last_revision(conn)}
    conn.execute(insert(partitions), [{"partition": number, **row} for number in range(log.partitions)])


def _tiers() -> tuple[list[str], list[bytes]]:
    return [line.split(b'"account": "', 1)[1].split(b'"', 1)[0].decode() for line in accounts()], accounts()


def _append(log: Log, keys: list[str], values: list[bytes]) -> None:
    """In parts that fit into the producer's queue."""
    entries = [Entry(value=v, key=k) for k, v in zip(keys, values, strict=True)]
    for start in range(0, len(entries), PART):
        log.append(EVENTS, entries[start : start + PART]).result()


def _work_off(worker: Worker, db: Database, log: Log) -> None:
    goal = sum(log.end_offsets(EVENTS).values())
    while True:
        worker.beat()
        with db.read() as conn:
            if (conn.scalar(select(func.sum(partitions.c.next_offset))) or 0) >= goal:
                return
