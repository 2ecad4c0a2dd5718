"""Old history leaves both services at the same tick, on both stacks; what is open stays, with its trigger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import KafkaServer
from tests.e2e.server import items, running
from tests.e2e.stack import Stack, stacked

SETTINGS = {"CLOCK": "log", "PARTITIONS": "4", "HISTORY_RETENTION": "10d"}
ACCOUNTS = [f"a{n}" for n in range(12)]
RULES: dict[str, dict[str, Any]] = {
    "ends": {"playbook": "ends"},
    "task": {"playbook": "task"},
    "waits": {"playbook": "waits"},
    "notes": {"cooldown": "once"},
}
BOOKS: dict[str, list[dict[str, Any]]] = {
    "ends": [{"email": {"template": "hello"}}],
    "task": [{"task": {"title": "Call", "assignee": "us@us.test"}}],
    "waits": [{"wait": "300d"}],
}
Started = tuple[httpx.Client, Callable[[], None]]


@pytest.fixture(params=["embedded", pytest.param("apart", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Started]:
    if request.param == "embedded":
        with running(tmp_path, **SETTINGS) as server, server.client() as client:
            yield client, server.settle
        return
    kafka: KafkaServer = request.getfixturevalue("kafka")
    stack = Stack(
        tmp_path, kafka.bootstrap_servers, request.getfixturevalue("fresh_postgres_url"), settings=SETTINGS
    )
    with stacked(stack), stack.client() as client:
        yield client, stack.settle
        assert stack.surprises() == []


def found(client: httpx.Client, path: str, field: str) -> dict[str, int]:
    """How many there are of each."""
    named = [one[field] for one in items(client, path)]
    return {name: named.count(name) for name in sorted(set(named))}


def put(client: httpx.Client, path: str, **body: Any) -> None:
    client.put(path, json=body).raise_for_status()


@pytest.mark.timeout(300)
def test_old_history_leaves(started: Started) -> None:
    client, settle = started

    def carry(time: str) -> None:
        client.post("/v1/clock", json={"time": time}).raise_for_status()
        settle()

    def post(day: str) -> None:
        events = [{"type": "go", "account": name, "time": f"{day}Z"} for name in ACCOUNTS]
        client.post("/v1/events", json=events).raise_for_status()
        settle()

    put(client, "/v1/templates/hello", subject="s", markdown="m")
    for name, steps in BOOKS.items():
        put(client, f"/v1/playbooks/{name}", steps=steps)
    for name, more in RULES.items():
        when = {"threshold": {"event": "go", "at_least": 1}}
        put(client, f"/v1/rules/{name}", **({"when": when, "cooldown": "0s", "status": "active"} | more))
    people = [{"id": "ann", "email": "ann@mail.example"}]
    for name in ACCOUNTS:
        put(client, f"/v1/accounts/{name}?time=2030-01-01T00:00:00Z", contacts=people)
    post("2030-01-01T12:00:00")
    every = dict.fromkeys(RULES, 12)
    assert found(client, "/v1/triggers", "rule") == dict(sorted(every.items()))
    carry("2030-01-11T23:59:59Z")  # old by then, but the day's tick was before
    assert found(client, "/v1/triggers", "rule") == dict(sorted(every.items()))
    assert found(client, "/v1/plays", "playbook") == dict.fromkeys(sorted(BOOKS), 12)
    carry("2030-01-12T00:00:00Z")
    assert found(client, "/v1/plays", "playbook") == {"task": 12, "waits": 12}
    assert found(client, "/v1/triggers", "rule") == {"task": 12, "waits": 12}
    assert found(client, "/v1/actions", "channel") == {"task": 12}

    for task in items(client, "/v1/tasks"):
        client.post(f"/v1/tasks/{task['id']}/complete").raise_for_status()
    settle()
    carry("2030-01-13T00:00:00Z")
    assert found(client, "/v1/plays", "playbook") == {"waits": 12}
    assert found(client, "/v1/triggers", "rule") == {"waits": 12}
    assert found(client, "/v1/tasks", "status") == {"completed": 12}  # yesterday
    carry("2030-01-23T00:00:00Z")
    assert found(client, "/v1/tasks", "status") == {}
    post("2030-01-23T12:00:00")
    assert found(client, "/v1/triggers", "rule") == {"ends": 12, "task": 12, "waits": 24}  # once is once
    assert found(client, "/v1/plays", "status") == {"finished": 24, "open": 12, "skipped": 12}
