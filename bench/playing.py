"""Measures the actions worker, which reads every event too: how fast it passes those that concern no play."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from backbone.clock import WallClock
from backbone.database import Database
from backbone.log import EVENTS, TRIGGERS, Entry, Log, open_log
from backbone.migrations import migrate_all
from backbone.settings import load_settings
from bench.durable import PART, account_of
from bench.engine import floor
from bench.measure import SCALE, Result, paired, seconds
from bench.workload import lines
from schemas.trigger import Progress, TriggerRecord
from services.actions.worker import ActionsWorker

COUNT = int(100_000 * SCALE)


class _NeverAsked:
    """No play, nothing to render."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def actions_worker(tick: Callable[[], None]) -> list[Result]:
    """Events a second from the embedded log, rules being past all of them, against the floor."""
    ours, base, raw = paired(_rate, partial(floor, timed=seconds))
    tick()
    return [Result("actions_worker", ours, "events/s", None, base, raw, "events that concern no play")]


def _rate() -> float:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder), clock="log", log_retention="3650d")
        db = Database(settings.url)
        migrate_all(db)
        log = open_log(settings)
        _fill(log)
        worker = ActionsWorker(db, log, WallClock(), _NeverAsked(), mode="log")
        try:
            worker.join()
            return COUNT / seconds(lambda: _work_off(worker))
        finally:
            worker.stop()
            log.close()
            db.close()


def _fill(log: Log) -> None:
    """Append the workload's events, followed by rules' progress."""
    entries = [Entry(value=line, key=account_of(line)) for line in lines(COUNT)]
    for start in range(0, COUNT, PART):
        log.append(EVENTS, entries[start : start + PART]).result()
    ends = log.end_offsets(EVENTS)
    told = [TriggerRecord(progress=Progress(partition=p, offset=end, clock=0)) for p, end in ends.items()]
    values = [Entry(value=msgspec.json.encode(each), partition=p) for p, each in zip(ends, told, strict=True)]
    log.append(TRIGGERS, values).result()


def _work_off(worker: ActionsWorker) -> None:
    while sum(task.row.next_event for task in worker.tasks.values()) < COUNT:
        worker.run_once()
