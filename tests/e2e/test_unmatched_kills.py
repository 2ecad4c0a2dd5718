"""Parked events on Kafka and PostgreSQL: two ingest processes die again and again while they learn whose they are.

Each event goes to its account once, and nothing stays parked.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from backbone.clock import WallClock
from backbone.data_folder import secret_key
from schemas.event import Event
from services.ingest.identity.directory import Directory
from services.ingest.identity.source_placement import Asked, SourcePlacement
from services.ingest.identity.unmatched import Unmatched
from services.ingest.identity.whose import Way, Whose
from tests.e2e.conftest import MakeStack
from tests.e2e.server import items
from tests.e2e.stack import Process, Stack, until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

ACCOUNTS, KILLS = 60, 6
POINTS = ("ingest.before_commit:3", "ingest.after_sending_on_before_forgetting:2", "")
RULES = [
    {"name": f"at-{n}", "when": {"threshold": {"event": "won", "within": "30d", "at_least": n}}, "status": "active"}
    for n in (3, 4)
]  # fmt: skip


def park(stack: Stack) -> None:
    """As a door does: three events of each account, found by an id, an address and a domain."""
    database, log, clock = stack.open_database(), stack.open_log(), WallClock()
    directory = Directory(secret_key(stack.loaded()))
    placement = SourcePlacement(database, clock, directory, Unmatched(database, log, clock, directory))
    for number in range(ACCOUNTS):
        ways = (
            Way("external_id", "crm", f"c{number}"),
            Way("email", None, f"ann@a{number}.test"),
            Way("domain", None, f"a{number}.test"),
        )
        asked = [
            Asked(Event(type="won", source="crm", id=f"{number}-{at}", data={}), Whose((way,)), "crm")
            for at, way in enumerate(ways)
        ]
        assert all(one.parked for one in placement.place(asked))
    log.close()
    database.close()


def tell(client: httpx.Client, number: int) -> None:
    """Say by what an account is found, until that is taken."""
    body = {
        "external_ids": {"crm": f"c{number}"},
        "domains": [f"a{number}.test"],
        "contacts": [{"id": "ann", "email": f"ann@a{number}.test"}],
    }

    def taken() -> bool:
        try:
            return client.put(f"/v1/accounts/a{number}", json=body).status_code == 202
        except httpx.HTTPError:
            return False

    until("an account is taken", taken)


def ready_or_dead(process: Process) -> bool:
    return process.ready() or not process.child.alive


def die_now_and_then(stack: Stack, over: threading.Event) -> None:
    dice, deaths = random.Random(7), 0
    while deaths < KILLS and not over.wait(dice.uniform(0.5, 1.5)):
        victim = stack.of("ingest")[deaths % 2]
        victim.kill9()
        victim.start(POINTS[deaths % len(POINTS)])
        deaths += 1
        until("it gets ready, or has died again", partial(ready_or_dead, victim), 90)
    for victim in stack.of("ingest"):
        if not victim.child.alive:
            victim.start()
    stack.wait_ready()


@pytest.mark.timeout(300)
def test_every_parked_event_goes_in_once(make_stack: MakeStack) -> None:
    stack = make_stack(ingest=2, CLOCK="wall")
    park(stack)
    with stack.client() as client:
        for rule in RULES:
            assert client.put(f"/v1/rules/{rule['name']}", json=rule).is_success
        assert client.get("/v1/unmatched", params={"limit": 1}).json()["items"]
        over = threading.Event()
        with ThreadPoolExecutor(5) as pool:
            dying = pool.submit(die_now_and_then, stack, over)
            for each in [pool.submit(tell, client, number) for number in range(ACCOUNTS)]:
                each.result()
            dying.result()

        def all_in() -> bool:
            status: dict[str, Any] = stack.status("ingest") or {}
            return bool(status.get("idle"))

        until("nothing is left to send on", all_in, 90)
        stack.settle()
        assert items(client, "/v1/unmatched") == []
        fired = items(client, "/v1/triggers")
    assert sorted(one["account"] for one in fired) == sorted(f"a{number}" for number in range(ACCOUNTS))
    for one in fired:
        number = one["account"].removeprefix("a")
        assert (one["rule"], sorted(one["evidence"])) == ("at-3", [f"{number}-{at}" for at in range(3)])
