"""A test's own broker and database, killed and started again while events come in."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deploy.local.kafka import Kafka
from deploy.local.postgres import Postgres
from tests.e2e.faults import SETTINGS, Run
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Stack, stacked, until
from tests.e2e.workload import START

DOWN_S = (0.2, 4.0)  # how long a server stays away
BACK_S = 60.0  # how long a test waits, not a promise; the real time is reported


@dataclass
class Own:
    """A stack with the broker and the database under it."""

    stack: Stack
    kafka: Kafka
    postgres: Postgres


@contextmanager
def own_servers(folder: Path, sinks: Sinks) -> Iterator[Own]:
    """A stack on a broker and a database that nobody else uses."""
    with ExitStack() as held:
        kafka = held.enter_context(Kafka(quick=True))
        postgres = held.enter_context(Postgres())
        url = postgres.create_database("touchline")
        settings = {**SETTINGS, "SMTP_URL": sinks.smtp_url}
        stack = Stack(folder / "stack", kafka.bootstrap_servers, url, settings=settings)
        yield Own(held.enter_context(stacked(stack)), kafka, postgres)


@dataclass
class Outages:
    """How often each server was killed, and how long after its return events were taken again (seconds)."""

    broker: int = 0
    database: int = 0
    back: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        slowest = f"events taken again within {max(self.back):.1f} s at the slowest" if self.back else ""
        return f"broker killed {self.broker} times, database {self.database} times, {slowest}"


def kill_and_restart(
    own: Own, run: Run, seed: int, *, times: int = 0, seconds: float = 0, between: tuple[float, float]
) -> Outages:
    """Kill the broker or the database, by chance, for a time or a number of times, with pauses (seconds) in between."""
    rng = random.Random(f"{seed} servers")
    outages = Outages()
    over = time.monotonic() + seconds
    while outages.broker + outages.database < times or time.monotonic() < over:
        pause = rng.uniform(*between)
        time.sleep(pause)
        if rng.random() < 0.5:
            outages.broker += 1
            _away(own.kafka, rng)
        else:
            outages.database += 1
            _away(own.postgres, rng)
        outages.back.append(_taken_again(run, len(outages.back)))
        run.progress.step("seconds", pause + outages.back[-1])
    return outages


def _away(server: Kafka | Postgres, rng: random.Random) -> None:
    server.kill9()
    time.sleep(rng.uniform(*DOWN_S))
    server.restart()


def _taken_again(run: Run, number: int) -> float:
    """Seconds until an event is accepted again; that event counts as acknowledged, like the others."""
    event = {
        "id": f"after-{number}",
        "source": "test",
        "type": "seen",
        "account": "probe",
        "time": START.isoformat(),
    }
    began = time.monotonic()

    def taken() -> bool:
        try:
            with run.stack.client() as client:
                return client.post("/v1/events", json=event, timeout=5).status_code == 202
        except httpx.HTTPError:
            return False

    until("events are taken again", taken, BACK_S)
    run.acknowledged.add(("probe", event["id"]))
    return time.monotonic() - began
