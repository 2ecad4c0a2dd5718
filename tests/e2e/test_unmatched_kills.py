"""Webhooks on Kafka and PostgreSQL: two ingest processes die again and again while they learn whose they are.

Each event, sent more than once, goes to its account once, and nothing stays parked.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import MakeStack
from tests.e2e.server import items
from tests.e2e.stack import Stack, until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

ACCOUNTS, KILLS = 60, 6
POINTS = (
    "ingest.after_placing_before_append:5",
    "ingest.after_sending_on_before_forgetting:2",
    "ingest.before_commit:3",
)
SOURCE = {
    "verify": {"scheme": "none"},
    "events": [
        {
            "type": "won",
            "id": "id",
            "account": [{"external_id": "customer"}, {"email": "email"}, {"domain": "domain"}],
        }
    ],
}
RULES = [
    {"name": f"at-{n}", "when": {"threshold": {"event": "won", "within": "30d", "at_least": n}}, "status": "active"}
    for n in (3, 4)
]  # fmt: skip


def hook(client: httpx.Client, body: dict[str, Any]) -> None:
    """Send a webhook until it is taken, as another system does."""

    def taken() -> bool:
        try:
            answer = client.post("/v1/hooks/crm", json=body)
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            return False
        counts = answer.json()
        assert counts["accepted"] + counts["unmatched"] == 1, counts
        return True

    until("a webhook is taken", taken)


def bodies() -> list[dict[str, Any]]:
    """Three events of each account, found by an id, an address and a domain."""
    return [
        {"id": f"{number}-{at}", **way}
        for number in range(ACCOUNTS)
        for at, way in enumerate(
            ({"customer": f"c{number}"}, {"email": f"ann@a{number}.test"}, {"domain": f"a{number}.test"})
        )
    ]


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


def die_now_and_then(stack: Stack) -> None:
    dice = random.Random(7)
    for death in range(KILLS):
        time.sleep(dice.uniform(0.5, 1.5))
        victim = stack.of("ingest")[death % 2]
        victim.kill9()
        victim.start(POINTS[death % len(POINTS)])
        until("it gets ready, or has died again", victim.ready_or_dead, 90)
    for victim in stack.of("ingest"):  # from here on they do not die at any point
        victim.kill9()
        victim.start()
    stack.wait_ready()


@pytest.mark.timeout(300)
def test_every_parked_event_goes_in_once(make_stack: MakeStack) -> None:
    stack = make_stack(ingest=2, CLOCK="wall")
    with stack.client() as client:
        assert client.put("/v1/sources/crm", json=SOURCE).is_success
        early = bodies()
        for body in early[:60]:
            hook(client, body)
        for rule in RULES:
            assert client.put(f"/v1/rules/{rule['name']}", json=rule).is_success
        assert client.get("/v1/unmatched", params={"limit": 1}).json()["items"]
        with ThreadPoolExecutor(5) as pool:
            dying = pool.submit(die_now_and_then, stack)
            sent = [pool.submit(tell, client, number) for number in range(ACCOUNTS)]
            sent += [pool.submit(hook, client, body) for body in [*early[60:], *early]]
            for each in sent:
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
