"""Faults to a running stack, at any size: what `make test` does small and `make chaos` at full size."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from tests.e2e.history import Report, check
from tests.e2e.sinks import Sinks
from tests.e2e.stack import KINDS, Process, Stack
from tests.e2e.workload import START, batches, configure, events, post, post_all

DAYS = 8
END = START + timedelta(days=DAYS + 4)
PARTITIONS = 12
SETTINGS = {"CLOCK": "log", "PARTITIONS": str(PARTITIONS)}


@dataclass
class Run:
    """A workload under way: its acknowledged events, and what is done to the stack meanwhile."""

    stack: Stack
    sinks: Sinks
    accounts: int
    acknowledged: set[tuple[str, str]] = field(default_factory=set)

    def finish(self, kills: int = 0) -> Report:
        """The clock to the end, all settled, everything checked; prints the figures."""
        self.stack.wait_ready()
        with self.stack.client() as client:
            client.post("/v1/clock", json={"time": END.isoformat()}).raise_for_status()
        self.stack.settle()
        assert self.stack.surprises() == []
        log, database = self.stack.open_log(), self.stack.open_database()
        try:
            report = check(log, database, self.acknowledged, self.sinks, kills)
        finally:
            log.close()
            database.close()
        print(f"{kills} kills: {report}")
        return report


@contextmanager
def loaded(stack: Stack, sinks: Sinks, events: int, accounts: int, seed: int = 0) -> Iterator[Run]:
    """The stack configured and events being posted; at the end of the block all of them are acknowledged."""
    run = Run(stack, sinks, accounts)
    with stack.client() as client:
        configure(client, sinks.hook_url, accounts)
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(post_all, stack.client, events, accounts, days=DAYS, seed=seed)
        yield run
        run.acknowledged |= posted.result()


@contextmanager
def posting(stack: Stack, sinks: Sinks, accounts: int, seed: int, most: int = 30_000) -> Iterator[Run]:
    """The stack configured and events being posted in small requests, for as long as the block runs."""
    run = Run(stack, sinks, accounts)
    over = threading.Event()

    def work() -> None:
        with stack.client() as client:
            for batch in batches(events(seed, most, range(accounts), days=DAYS), 20):
                post(client, batch)
                run.acknowledged |= {(event["account"], event["id"]) for event in batch}
                if over.wait(0.05):  # a stream, not a flood: there must be something to come until the end
                    return

    with stack.client() as client:
        configure(client, sinks.hook_url, accounts)
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(work)
        try:
            yield run
        finally:
            over.set()
        posted.result()


def kill_each(run: Run, times: int, seed: int, most_s: float) -> int:
    """kill -9 the first process of every kind so many times, some moments after it got to work again; how many."""

    def one(kind: str) -> int:
        rng = random.Random(f"{seed} {kind}")
        victim = run.stack.one(kind)
        for _ in range(times):
            _until_ready(victim)
            time.sleep(rng.uniform(0, most_s))
            victim.kill9()
            victim.start()
        return times

    with ThreadPoolExecutor(len(KINDS)) as pool:
        return sum(pool.map(one, KINDS))


def _until_ready(process: Process, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not process.ready():
        assert process.child.alive, process.child.log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < deadline, f"{process.child.name} does not get ready"
        time.sleep(0.1)
