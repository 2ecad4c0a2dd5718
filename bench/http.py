"""Measures HTTP: events accepted a second, and the time from there to a webhook."""

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvloop
from aiohttp import web

from backbone.log import DEAD_LETTERS, Entry, Log, open_log
from backbone.settings import Settings, load_settings
from bench import client, floors
from bench.measure import Result, paired, percentile
from bench.served import Served, cpu_seconds, served
from bench.workload import lines
from deploy.local.ports import free_port
from deploy.local.process import wait_until

SECONDS = 2.0  # a repeat of one side
BATCH = 100
ROUNDS, LATENCY_EVENTS, PACE_S = 3, 500, 0.01
WARM_UP = 100  # events of a round that are not counted
CONNECTIONS, PATIENCE_S = 100, 60.0
TOPIC = DEAD_LETTERS  # for the bare append-and-poll: no service reads it


def ingest_batch(tick: Callable[[], None]) -> list[Result]:
    """Events a second in batches of 100: durable on the embedded log, against decoded and forgotten."""
    events = lines(200_000)
    bodies = [b"[" + b",".join(events[n : n + BATCH]) + b"]" for n in range(0, len(events), BATCH)]
    return _ingest("ingest_batch", bodies, BATCH, connections=16, tick=tick)


def ingest_single(tick: Callable[[], None]) -> list[Result]:
    """The same with one event a request."""
    return _ingest("ingest_single", lines(200_000)[:50_000], 1, connections=32, tick=tick)


def _ingest(
    path: str, bodies: Sequence[bytes], size: int, *, connections: int, tick: Callable[[], None]
) -> list[Result]:
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), "ingest") as ours,
        floors.running("http") as (port, pid),
    ):
        requests = [client.post("/v1/events", body, ours.key) for body in bodies]
        busy: dict[str, list[float]] = {"ours_cpu": [], "floor_cpu": []}

        def rate(at: int, process: int, name: str) -> float:
            before, started = cpu_seconds(process), time.perf_counter()
            found = size * client.rate(at, requests, connections, SECONDS)
            taken = time.perf_counter() - started
            busy[name].append(round(found * taken / (cpu_seconds(process) - before), 1))
            return found

        value, base, raw = paired(
            lambda: rate(ours.port, ours.pid, "ours_cpu"), lambda: rate(port, pid, "floor_cpu")
        )
    tick()
    mine, bare = (statistics.median(each) for each in busy.values())
    note = f"{connections} connections; in a second of CPU time {mine:,.0f}, the bare server {bare:,.0f}"
    return [Result(path, value, "events/s", None, base, raw | busy, note)]


def latency_embedded(tick: Callable[[], None]) -> list[Result]:
    """From POST to webhook at 100 events a second, beyond a bare append-and-poll of the same log."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as other,
        served(Path(folder), WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8") as ours,
        bare_log(load_settings(data_dir=Path(other))) as bare,
    ):
        rounds = uvloop.run(in_turn(ours, bare))
    tick()
    return latencies("latency_embedded", rounds)


Rounds = list[tuple[list[float], list[float]]]  # milliseconds of both sides: (whole, bare) for each round


def latencies(path: str, rounds: Rounds) -> list[Result]:
    """The two figures, in milliseconds above the bare log: medians over the rounds."""
    results = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        raw = {
            "ours": [round(percentile(whole, share), 2) for whole, _ in rounds],
            "floor": [round(percentile(bare, share), 2) for _, bare in rounds],
        }
        ours, base = statistics.median(raw["ours"]), statistics.median(raw["floor"])
        note = f"{ours:.1f} ms to the webhook, {base:.1f} ms append-and-poll, {len(rounds)} × {LATENCY_EVENTS} events"
        results.append(Result(path, ours - base, f"ms {name}", None, base, raw, note))
    return results


class Bare:
    """Milliseconds from the append of a record until a consumer in another thread has it; 100 a second."""

    def __init__(self, log: Log) -> None:
        self._log, self._count = log, 0
        self._came: dict[bytes, float] = {}
        self._stopping = threading.Event()
        self._consumer = log.consumer("bench-bare", [TOPIC])
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        first = self._put()
        wait_until("the bare consumer", lambda: first in self._came, 60)

    def measure(self) -> list[float]:
        """One round."""
        sent, started = dict[bytes, float](), time.perf_counter()
        for number in range(WARM_UP + LATENCY_EVENTS):
            time.sleep(max(0.0, started + number * PACE_S - time.perf_counter()))
            at = time.perf_counter()
            sent[self._put()] = at
        wait_until("the last record", lambda: all(value in self._came for value in sent), 60)
        return [1_000 * (self._came[value] - sent[value]) for value in list(sent)[WARM_UP:]]

    def close(self) -> None:
        """End the reader."""
        self._stopping.set()
        self._consumer.wake()
        self._reader.join()

    def _put(self) -> bytes:
        self._count += 1
        value = b"%d" % self._count
        self._log.append(TOPIC, [Entry(value=value, key=str(self._count))])
        return value

    def _read(self) -> None:
        starts = self._log.end_offsets(TOPIC)
        self._consumer.subscribe(lambda numbers: {(TOPIC, n): starts[n] for n in numbers}, lambda _: None)
        while not self._stopping.is_set():
            for record in self._consumer.poll(0.2, 1_000):
                self._came[record.value] = time.perf_counter()
        self._consumer.close()


@contextmanager
def bare_log(settings: Settings) -> Iterator[Bare]:
    """A bare log, on a topic that no service reads."""
    log = open_log(settings)
    try:
        bare = Bare(log)
        try:
            yield bare
        finally:
            bare.close()
    finally:
        log.close()


async def in_turn(ours: Served, bare: Bare) -> Rounds:
    """Both sides, in turn."""
    port, sink = free_port(), Sink()
    server = await asyncio.get_running_loop().create_server(web.Server(sink.take), "127.0.0.1", port)
    await asyncio.to_thread(configure, ours, port)
    rounds = []
    for _ in range(ROUNDS):
        base = await asyncio.to_thread(bare.measure)
        rounds.append((await sink.round(ours), base))
    server.close()
    return rounds


class Sink:
    """Receives the webhooks, and notes when each came."""

    def __init__(self) -> None:
        self._came: dict[int, float] = {}
        self._next = 0

    async def take(self, request: web.BaseRequest) -> web.Response:
        """One webhook."""
        self._came.setdefault(int((await request.json())["n"]), time.perf_counter())
        return web.Response()

    async def round(self, ours: Served) -> list[float]:
        """Milliseconds from each POST to the arrival of the webhook that it leads to."""
        numbers = range(self._next, self._next + WARM_UP + LATENCY_EVENTS)
        self._next = numbers.stop
        sent = await _post_paced(ours, numbers)
        deadline = time.monotonic() + PATIENCE_S
        while not all(number in self._came for number in numbers):
            if time.monotonic() > deadline:
                missing = sum(number not in self._came for number in numbers)
                raise RuntimeError(f"{missing} of {len(numbers)} webhooks did not come within {PATIENCE_S} s")
            await asyncio.sleep(0.05)
        return [1_000 * (self._came[number] - sent[number]) for number in numbers[WARM_UP:]]


async def _post_paced(ours: Served, numbers: range) -> dict[int, float]:
    sent: dict[int, float] = {}
    free = [await client.connect(ours.port) for _ in range(CONNECTIONS)]
    started = time.perf_counter()
    under_way = []

    async def one(number: int) -> None:
        body = b'{"type":"signal","account":"c%d","data":{"n":%d}}' % (number, number)
        sent[number] = time.perf_counter()  # a wait for a free connection counts
        while not free:
            await asyncio.sleep(0.001)
        line = free.pop()
        if await line.ask(client.post("/v1/events", body, ours.key)) != 202:
            raise RuntimeError("refused")
        free.append(line)

    for place, number in enumerate(numbers):
        await asyncio.sleep(max(0.0, started + place * PACE_S - time.perf_counter()))
        under_way.append(asyncio.create_task(one(number)))
    await asyncio.gather(*under_way)
    for line in free:
        line.close()
    return sent


def configure(ours: Served, port: int) -> None:
    """A rule and a playbook that answer each signal with a webhook to this port."""
    ours.call("POST", "/v1/endpoints", {"name": "sink", "url": f"http://127.0.0.1:{port}/"})
    step = {"webhook": {"endpoint": "sink", "body": {"n": "{{ trigger.event.data.n }}"}}}
    ours.call("POST", "/v1/playbooks", {"name": "tell", "limit": None, "steps": [step]})
    ours.call("PUT", "/v1/tiers", {"tiers": [{"tier": "tech"}]})
    threshold = {"event": "signal", "at_least": 1}
    rule = {"name": "signal", "playbook": "tell", "status": "active", "when": {"threshold": threshold}}
    ours.call("POST", "/v1/rules", rule)
