"""Over HTTP: how many events a second the door takes, and how long one takes from there to a webhook."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop
from aiohttp import web

from backbone.log import EVENTS, Entry, Log, open_log
from backbone.settings import load_settings
from bench import client, floors
from bench.measure import Result, paired, percentile
from bench.served import Served, served
from bench.workload import lines
from deploy.local.process import free_port

SECONDS = 2.0  # a repeat of one side
BATCH = 100
LATENCY_EVENTS, PACE_S = 800, 0.01
WARM_UP = 100  # not counted


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
        floors.running("http") as port,
    ):
        requests = [client.post("/v1/events", body, ours.key) for body in bodies]

        def rate(at: int) -> float:
            return size * client.rate(at, requests, connections, SECONDS)

        value, base, raw = paired(lambda: rate(ours.port), lambda: rate(port))
    tick()
    return [Result(path, value, "events/s", None, base, raw, f"{connections} connections")]


def latency_embedded(tick: Callable[[], None]) -> list[Result]:
    """From POST to webhook at 100 events a second, beyond a bare append-and-poll of the same log."""
    bare = _bare()
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8") as ours,
    ):
        whole = post_to_webhook(ours)
    tick()
    return latencies("latency_embedded", whole, bare)


def latencies(path: str, whole: list[float], bare: list[float]) -> list[Result]:
    """The two figures, in milliseconds above the bare log."""
    results = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours, base = percentile(whole, share), percentile(bare, share)
        raw = {"ours": [round(ours, 2)], "floor": [round(base, 2)]}
        note = f"{name}: {ours:.1f} ms to the webhook, {base:.1f} ms append-and-poll, {len(whole)} events"
        results.append(Result(path, ours - base, f"ms {name}", None, None, raw, note))
    return results


def _bare() -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        log = open_log(load_settings(data_dir=Path(folder)))
        try:
            return append_and_poll(log)
        finally:
            log.close()


def append_and_poll(log: Log) -> list[float]:
    """Milliseconds from the append of a record until a consumer in another thread has it; 100 a second."""
    sent: dict[bytes, float] = {}
    came: dict[bytes, float] = {}
    count = WARM_UP + LATENCY_EVENTS // 2
    consumer = log.consumer("bench-bare", [EVENTS])
    starts = log.end_offsets(EVENTS)
    consumer.subscribe(lambda numbers: {(EVENTS, n): starts[n] for n in numbers}, lambda _: None)

    def read() -> None:
        deadline = time.monotonic() + 60
        while len(came) < count and time.monotonic() < deadline:
            for record in consumer.poll(0.2, 1_000):
                came[record.value] = time.perf_counter()

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(1.0)  # it has joined by then
    for number in range(count):
        value = b"%d" % number
        sent[value] = time.perf_counter()
        log.append(EVENTS, [Entry(value=value, key=str(number))])
        time.sleep(PACE_S)
    reader.join()
    consumer.close()
    return [1_000 * (came[value] - sent[value]) for value in list(sent)[WARM_UP:]]


def post_to_webhook(ours: Served) -> list[float]:
    """Milliseconds from each POST to the arrival of the webhook that it leads to."""
    return uvloop.run(_post_to_webhook(ours))


async def _post_to_webhook(ours: Served) -> list[float]:
    port, came, all_here = free_port(), dict[int, float](), asyncio.Event()
    count = WARM_UP + LATENCY_EVENTS

    async def take(request: web.BaseRequest) -> web.Response:
        came.setdefault(int((await request.json())["n"]), time.perf_counter())
        if len(came) == count:
            all_here.set()
        return web.Response()

    sink = await asyncio.get_running_loop().create_server(web.Server(take), "127.0.0.1", port)
    await asyncio.to_thread(_configure, ours, port)
    sent = await _post_paced(ours, count)
    await asyncio.wait_for(all_here.wait(), 30)
    sink.close()
    return [1_000 * (came[number] - sent[number]) for number in range(WARM_UP, count)]


async def _post_paced(ours: Served, count: int) -> dict[int, float]:
    sent: dict[int, float] = {}
    free = [await client.connect(ours.port) for _ in range(200)]
    started = time.perf_counter()
    under_way = []

    async def one(number: int) -> None:
        body = b'{"type":"signal","account":"c%d","data":{"n":%d}}' % (number, number)
        line = free.pop()
        sent[number] = time.perf_counter()
        if await line.ask(client.post("/v1/events", body, ours.key)) != 202:
            raise RuntimeError("refused")
        free.append(line)

    for number in range(count):
        await asyncio.sleep(max(0.0, started + number * PACE_S - time.perf_counter()))
        under_way.append(asyncio.create_task(one(number)))
    await asyncio.gather(*under_way)
    for line in free:
        line.close()
    return sent


def _configure(ours: Served, port: int) -> None:
    ours.call("POST", "/v1/endpoints", {"name": "sink", "url": f"http://127.0.0.1:{port}/"})
    step = {"webhook": {"endpoint": "sink", "body": {"n": "{{ trigger.event.data.n }}"}}}
    ours.call("POST", "/v1/playbooks", {"name": "tell", "steps": [step]})
    ours.call("PUT", "/v1/tiers", {"tiers": [{"tier": "tech"}]})
    threshold = {"event": "signal", "at_least": 1}
    rule = {"name": "signal", "playbook": "tell", "status": "active", "when": {"threshold": threshold}}
    ours.call("POST", "/v1/rules", rule)
