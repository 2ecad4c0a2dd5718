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
BURST, PADDING = 100, "x" * 40_000


def refused(stack: Stack) -> None:
    """A burst of requests while the log is away: every one is told so, in time, to come back later."""

    def one(number: int) -> tuple[httpx.Response, float]:
        event = {
            "id": f"refused-{number}",
            "type": "padding",
            "account": f"a{number}",
            "data": {"x": PADDING},
        }
        began = time.monotonic()
        with stack.client() as client:
            return client.post("/v1/events", json=event), time.monotonic() - began

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(BURST)))
    assert {answer.status_code for answer, _ in answers} == {503}, {a.status_code for a, _ in answers}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer, _ in answers)
    slowest = max(took for _, took in answers)
    assert slowest < ANSWER_S, slowest


@pytest.mark.timeout(400)
def test_the_broker_and_the_database_killed_and_back(tmp_path: Path, sink: Sinks) -> None:
    with own_servers(tmp_path, sink) as own:
        with loaded(own.stack, sink, events=5_000, accounts=120) as run:
            ingest = psutil.Process(own.stack.one("ingest").child.pid)
            before = ingest.memory_info().rss
            own.kafka.kill9()  # in the middle of the load
            refused(own.stack)
            refused(own.stack)
            assert ingest.memory_info().rss - before < GROWTH
            own.kafka.restart()
            outages = kill_and_restart(own, run, seed=2, times=2, between=(0.5, 2))
        run.finish()
    assert outages.database > 0
