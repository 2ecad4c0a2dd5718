"""Kafka, then PostgreSQL, killed under load and started again: no manual step, nothing lost, nothing doubled."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.faults import loaded
from tests.e2e.servers import kill_and_restart, own_servers
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

ANSWER_S = 10.0  # ingest's word, while the log is away
GROWTH = 200 << 20  # bytes by which ingest may grow meanwhile
PADDING = "x" * 48_000
SMALL, LARGE = 1, 20  # events of a request; a large one is nearly as large as one may be
BURST, FLOOD = 100, 400
assert len(PADDING) * LARGE * FLOOD > 1.5 * GROWTH  # kept, it would be seen


def refused(stack: Stack, count: int, size: int) -> float:
    """So many requests while the log is away: every one is told to come back later. Seconds that the slowest took."""

    def one(number: int) -> tuple[httpx.Response, float]:
        batch = [
            {
                "id": f"refused-{number}-{n}",
                "type": "padding",
                "account": f"a{number}",
                "data": {"x": PADDING},
            }
            for n in range(size)
        ]
        with stack.client() as client:
            began = time.monotonic()
            return client.post("/v1/events", json=batch), time.monotonic() - began

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(count)))
    assert {answer.status_code for answer, _ in answers} == {503}, {a.status_code for a, _ in answers}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer, _ in answers)
    return max(took for _, took in answers)


@pytest.mark.timeout(400)
def test_the_broker_and_the_database_killed_and_back(tmp_path: Path, sink: Sinks) -> None:
    with own_servers(tmp_path, sink) as own:
        with loaded(own.stack, sink, events=3_000, accounts=120) as run:
            ingest = psutil.Process(own.stack.one("ingest").child.pid)
            before = ingest.memory_info().rss
            own.kafka.kill9()  # in the middle of the load
            assert refused(own.stack, BURST, SMALL) < ANSWER_S
            refused(own.stack, FLOOD, LARGE)
            assert ingest.memory_info().rss - before < GROWTH
            own.kafka.restart()
            outages = kill_and_restart(own, run, seed=2, times=2, between=(0.5, 2))
        run.finish()
    assert outages.database > 0
