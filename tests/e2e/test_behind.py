"""Rules or actions away while days of events arrive: on return nothing is decided, played or said differently."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import httpx
import pytest

from tests.e2e.conftest import MakeStack
from tests.e2e.faults import DAYS, configured, until_ready
from tests.e2e.server import items
from tests.e2e.sinks import Sinks
from tests.e2e.stack import Stack, until
from tests.e2e.workload import JSON, post, post_all

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

EVENTS, ACCOUNTS = 1_500, 60
QUIET_S = 12.0  # of the absence on the wall clock


def _decided(stack: Stack, count: int) -> bool:
    with stack.client() as client:
        return len(client.get("/v1/triggers", params={"limit": count}).json()["items"]) >= count


@pytest.mark.timeout(300)
def test_eight_days_arrive_while_rules_then_actions_are_away(make_stack: MakeStack, sink: Sinks) -> None:
    """Either topic is read far ahead of the other: events without triggers, then triggers of long ago."""
    stack = make_stack()
    with configured(stack, sink, ACCOUNTS) as run:
        rules, actions = stack.one("rules"), stack.one("actions")
        rules.kill9()
        run.acknowledged |= post_all(stack.client, EVENTS, ACCOUNTS, days=DAYS, seed=11)
        actions.kill9()
        rules.start()
        until_ready(rules)
        until("rules decides", lambda: _decided(stack, 100), 90)
        actions.start()
    report = run.finish(kills=1)
    assert report.triggers > 200


def _login(client: httpx.Client, account: str) -> datetime:
    at = datetime.now(UTC)
    event: JSON = {
        "id": f"{account}-{at}",
        "source": "test",
        "type": "login",
        "account": account,
        "time": at.isoformat(),
    }
    post(client, [event])
    return at


def _fired(client: httpx.Client) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = {}
    for one in items(client, "/v1/triggers"):
        found.setdefault(one["account"], []).append(datetime.fromisoformat(one["at"]))
    return found


@pytest.mark.timeout(300)
def test_no_absence_fires_while_what_ends_it_waits_unread(make_stack: MakeStack, sink: Sinks) -> None:
    """On the wall clock: rules is away over the deadlines of two accounts, one of which came back in time."""
    stack = make_stack(CLOCK="wall")
    rule = {
        "name": "gone", "status": "active",
        "when": {"absence": {"event": "login", "for": f"{QUIET_S:.0f}s"}},
    }  # fmt: skip
    with stack.client() as client:
        client.post("/v1/rules", json=rule).raise_for_status()
        first = {name: _login(client, name) for name in ("stays", "leaves")}
        stack.one("rules").kill9()
        again = _login(client, "stays")
        assert (again - first["stays"]).total_seconds() < QUIET_S, "the machine was too slow for this test"
        until("both deadlines pass", lambda: time.time() > again.timestamp() + QUIET_S + 1, 60)
        stack.one("rules").start()
        until_ready(stack.one("rules"))
        until("both are missed", lambda: len(_fired(client)) == 2, 60)
        fired = _fired(client)
    gaps = {name: [(at - login).total_seconds() for at in fired[name]] for name, login in first.items()}
    assert gaps == {"leaves": [QUIET_S], "stays": [QUIET_S + (again - first["stays"]).total_seconds()]}
    assert stack.surprises() == []
