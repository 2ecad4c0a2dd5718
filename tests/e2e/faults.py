"""Faults in a running stack, at any size: `make test` runs them small, `make chaos` at full size."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from deploy.local.process import wait_until
from tests.e2e.history import Report, check
from tests.e2e.pace import Pace
from tests.e2e.progress import Progress
from tests.e2e.sinks import Sinks
from tests.e2e.stack import KINDS, READY_S, Process, Stack
from tests.e2e.workload import BATCH, START, batches, configure, events, post, post_all

DAYS = 8
END = START + timedelta(days=DAYS + 4)
PARTITIONS = 12
WORK_S = 20.0
SETTINGS = {"CLOCK": "log", "PARTITIONS": str(PARTITIONS)}


@dataclass
class Run:
    """A workload under way: its acknowledged events, and the faults done to the stack meanwhile."""

    stack: Stack
    sinks: Sinks
    accounts: int
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    progress: Progress = field(default_factory=Progress)
    pace: Pace | None = None
    idle: int = 0  # kills of processes that had found nothing to do

    def finish(self, kills: int = 0) -> Report:
        """Move the clock to the end, wait until all is settled, check everything and print the figures.

        `kills`: how often actions was killed.
        """
        self.stack.wait_ready()
        with self.stack.client() as client:
            client.post("/v1/clock", json={"time": END.isoformat()}).raise_for_status()
        self.stack.settle(told=self.progress.note)
        assert self.stack.surprises() == []
        self.progress.note("settled; now held against the pure engine's answer")
        log, database = self.stack.open_log(), self.stack.open_database()
        try:
            report = check(log, database, self.acknowledged, self.sinks, kills)
        finally:
            log.close()
            database.close()
        print(f"{kills} kills, {self.idle} of idle processes: {report}")
        return report


@contextmanager
def loaded(
    stack: Stack,
    sinks: Sinks,
    events: int,
    accounts: int,
    seed: int = 0,
    *,
    lanes: Sequence[str] = (),
    times: int = 0,
    batch: int = BATCH,
    quiet: float = 0,
    merges: float = 0,
    progress: Progress | None = None,
) -> Iterator[Run]:
    """Configure the stack and post events while the block runs; at its end all of them are acknowledged.

    With `lanes`, the load keeps step with the faults of these lanes, `times` in each (`Run.pace`).
    """
    run = Run(stack, sinks, accounts, progress=progress or Progress())
    run.pace = pace = Pace(events, lanes, times) if times else None

    def posted(count: int) -> None:
        run.progress.step("events", count)
        if pace is not None:
            pace.posted(count)

    def work() -> None:
        try:
            run.acknowledged |= post_all(
                stack.client, events, accounts, days=DAYS, seed=seed, size=batch, quiet=quiet, merges=merges,
                posted=posted,
            )  # fmt: skip
        finally:
            if pace is not None:
                pace.end()

    _configure(run)
    with ThreadPoolExecutor(1) as pool:
        posting_all = pool.submit(work)
        try:
            yield run
        finally:
            if pace is not None:
                pace.end()
        posting_all.result()


@contextmanager
def configured(stack: Stack, sinks: Sinks, accounts: int, progress: Progress | None = None) -> Iterator[Run]:
    """Configure the stack and post nothing."""
    run = Run(stack, sinks, accounts, progress=progress or Progress())
    _configure(run)
    yield run


def _configure(run: Run) -> None:
    with run.stack.client() as client:
        configure(client, run.sinks.hook_url, run.accounts)


@contextmanager
def posting(
    stack: Stack,
    sinks: Sinks,
    accounts: int,
    seed: int,
    most: int = 30_000,
    merges: float = 0,
    progress: Progress | None = None,
) -> Iterator[Run]:
    """Configure the stack and post events in small requests for as long as the block runs."""
    run = Run(stack, sinks, accounts, progress=progress or Progress())
    over = threading.Event()

    def work() -> None:
        with stack.client() as client:
            for batch in batches(events(seed, most, range(accounts), days=DAYS, merges=merges), 20):
                post(client, batch)
                run.acknowledged |= {(event["account"], event["id"]) for event in batch}
                if over.wait(0.05):  # a stream, not a flood: events must be left until the end
                    return

    _configure(run)
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(work)
        try:
            yield run
        finally:
            over.set()
        posted.result()


def kill_each(run: Run, times: int, seed: int, most_s: float) -> int:
    """Kill processes of every kind with -9, `times` each, moments after they got to work; returns the kills of actions.

    With a pace, each kill falls into its share of the load. Without one, kills come as fast as the processes return.
    """

    def one(kind: str) -> None:
        rng = random.Random(f"{seed} {kind}")
        for _ in range(times):
            if run.pace is not None:
                run.pace.due(kind)
            victim = rng.choice(run.stack.of(kind))
            run.idle += not until_working(victim)
            time.sleep(rng.uniform(0, most_s))
            victim.kill9()
            victim.start()
            run.progress.step("kills")
            if run.pace is not None:
                run.pace.struck(kind)

    def kept(kind: str) -> None:
        try:
            one(kind)
        except BaseException:
            if run.pace is not None:
                run.pace.end()
            raise

    with ThreadPoolExecutor(len(KINDS)) as pool:
        list(pool.map(kept, KINDS))
    return times


def until_ready(process: Process, timeout_s: float = READY_S) -> None:
    """Poll until the process says that it is ready. Fails with the process's own words if it ends."""
    wait_until(f"{process.child.name} gets ready", process.ready, timeout_s, process.child)


def until_working(process: Process) -> bool:
    """Poll until the process is ready and has done some work; returns whether it has.

    It gives up after `WORK_S`, since there may be nothing to do.
    """
    until_ready(process)
    deadline = time.monotonic() + WORK_S
    while time.monotonic() < deadline:
        if process.working():
            return True
        time.sleep(0.05)
    return False
