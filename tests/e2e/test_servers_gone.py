"""Kafka, then PostgreSQL, killed under load and started again: no manual step, nothing lost, nothing doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local.kafka import Kafka
from deploy.local.postgres import Postgres
from tests.e2e.faults import SETTINGS, loaded
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Stack, stacked

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

ANSWER_S = 10.0  # ingest's word, while the log is away
GROWTH = 200 << 20  # bytes by which ingest may grow meanwhile
BURST, PADDING = 100, "x" * 40_000

Own = tuple[Stack, Kafka, Postgres]


@pytest.fixture
def own(tmp_path: Path, sink: Sinks) -> Iterator[Own]:
    """A stack on a broker and a database of its own."""
    with ExitStack() as held:
        kafka = held.enter_context(Kafka(quick=True))
        postgres = held.enter_context(Postgres())
        url = postgres.create_database("touchline")
        settings = {**SETTINGS, "SMTP_URL": sink.smtp_url}
        stack = Stack(tmp_path / "stack", kafka.bootstrap_servers, url, settings=settings)
        yield held.enter_context(stacked(stack)), kafka, postgres


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
def test_the_broker_and_the_database_killed_and_back(own: Own, sink: Sinks) -> None:
    stack, kafka, postgres = own
    ingest = psutil.Process(stack.one("ingest").child.pid)
    with loaded(stack, sink, events=5_000, accounts=120) as run:
        before = ingest.memory_info().rss
        time.sleep(1.5)  # in the middle of the load
        kafka.kill9()
        refused(stack)
        refused(stack)
        assert ingest.memory_info().rss - before < GROWTH
        kafka.restart()
        time.sleep(2)
        postgres.kill9()
        time.sleep(3)
        postgres.restart()
    run.finish()
