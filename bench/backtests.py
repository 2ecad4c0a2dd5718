"""A backtest as somebody asks for it: over HTTP, in its own process, the reading of the log included.

It is held against the engine in memory with the same rule. Beside it: the time from POST to webhook with and without a
backtest, which runs at low priority, so that live work should hardly feel it.
"""

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvloop
from aiohttp import web

from backbone.log import EVENTS, Entry
from backbone.log.embedded.log import EmbeddedLog
from bench import engine, http
from bench.durable import account_of
from bench.measure import SCALE, Result, paired, percentile
from bench.served import Served, cpu_seconds, served
from bench.workload import TIERS, accounts, lines, rule_documents, rule_set
from deploy.local.ports import free_port
from deploy.local.process import wait_until

COUNT = int(600_000 * SCALE)  # reading them takes some times as long as starting a process
PARTITIONS, AT_ONCE, REPEATS, ROUNDS = 8, 20_000, 2, 2
MODULE = b"services.rules.backtest.process"
PATIENCE_S = 300.0


def backtest(tick: Callable[[], None]) -> list[Result]:
    """One rule over the whole log, against the engine in memory: events a second of CPU time."""
    (document,) = rule_documents(1)
    rules = rule_set([document])
    with _served_log(COUNT) as ours:
        took: list[float] = []
        value, base, raw = paired(
            lambda: _rate(ours, document, took), lambda: engine.rate(rules, COUNT), REPEATS
        )
    tick()
    note = f"{COUNT} events on the embedded log; {statistics.median(took):.1f} s from POST to done"
    return [Result("backtest", value, "events/s", 1, base, raw, note)]


def backtest_beside(tick: Callable[[], None]) -> list[Result]:
    """From POST to webhook at 100 events a second while backtests run, and while none does."""
    (document,) = rule_documents(1)
    with _served_log(COUNT, WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8") as ours:
        rounds = uvloop.run(_in_turn(ours, document))
    tick()
    results = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        raw = {
            side: [round(percentile(one[place], share), 2) for one in rounds]
            for place, side in enumerate(("floor", "ours"))
        }
        value, base = statistics.median(raw["ours"]), statistics.median(raw["floor"])
        results.append(
            Result("backtest_beside", value, f"ms {name}", None, base, raw, "with and without a backtest")
        )
    return results


@contextmanager
def _served_log(count: int, **settings: str) -> Iterator[Served]:
    """A server that has read a log with the workload."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = EmbeddedLog(folder, PARTITIONS)
        found = [*accounts(), *lines(count)]
        for start in range(0, len(found), AT_ONCE):
            part = found[start : start + AT_ONCE]
            log.append(EVENTS, [Entry(value=line, key=account_of(line)) for line in part]).result(60)
        log.close()
        with served(folder, **settings) as ours:
            ours.call("PUT", "/v1/tiers", TIERS)
            wait_until("the log is read", lambda: ours.call("GET", "/v1/status")["idle"], PATIENCE_S)
            yield ours


def _rate(ours: Served, document: dict[str, object], took: list[float]) -> float:
    started = time.perf_counter()
    path = f"/v1/backtests/{ours.call('POST', '/v1/backtests', {'rule': document})['id']}"
    used = 0.0
    while (answer := ours.call("GET", path))["status"] in ("queued", "running"):
        for pid in _children(ours.pid):
            with suppress(OSError):
                used = max(used, cpu_seconds(pid))
        time.sleep(0.02)
    took.append(time.perf_counter() - started)
    assert answer["status"] == "done", answer
    return float(answer["events"]) / used


def _children(parent: int) -> Iterator[int]:
    for one in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            of = int((one / "stat").read_text().rpartition(")")[2].split()[1])
            if of == parent and MODULE in (one / "cmdline").read_bytes():
                yield int(one.name)


async def _in_turn(ours: Served, document: dict[str, object]) -> list[tuple[list[float], list[float]]]:
    """Milliseconds of each round: (alone, beside a backtest)."""
    port, sink = free_port(), http.Sink()
    server = await asyncio.get_running_loop().create_server(web.Server(sink.take), "127.0.0.1", port)
    await asyncio.to_thread(http.configure, ours, port)
    rounds = []
    for _ in range(ROUNDS):
        alone = await sink.round(ours)
        with _backtests(ours, document):
            rounds.append((alone, await sink.round(ours)))
    server.close()
    return rounds


@contextmanager
def _backtests(ours: Served, document: dict[str, object]) -> Iterator[None]:
    """One after the other, for as long as the block runs."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            path = f"/v1/backtests/{ours.call('POST', '/v1/backtests', {'rule': document})['id']}"
            while ours.call("GET", path)["status"] in ("queued", "running") and not over.is_set():
                time.sleep(0.1)
            ours.call("DELETE", path)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until("a backtest runs", lambda: list(_children(ours.pid)), 30)
    try:
        yield
    finally:
        over.set()
        thread.join()
