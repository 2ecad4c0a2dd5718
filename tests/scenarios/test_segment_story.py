"""Segment's own order (anonymous, identify, track, group, track), sent again, on both stacks: each event counts once,
the person is known where they belong, and nobody is left behind to be mailed as an account of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import KafkaServer
from tests.e2e.server import items, running
from tests.e2e.sinks import Sinks, sinks
from tests.e2e.stack import Stack, stacked

JSON = dict[str, Any]
SETTINGS = {"CLOCK": "log", "PARTITIONS": "6"}
CLICKED = {"event": "clicked", "within": "30d"}
RULES: list[JSON] = [
    {"name": "three", "when": {"threshold": {**CLICKED, "at_least": 3}}, "playbook": "hello"},
    {"name": "gone", "when": {"absence": {"event": "clicked", "for": "2d"}}, "playbook": "missed"},
]


@pytest.fixture(scope="module")
def sink() -> Iterator[Sinks]:
    with sinks() as found:
        yield found


def call(type_: str, hour: int, id_: str, **more: Any) -> JSON:
    return {"type": type_, "messageId": id_, "timestamp": f"2026-01-01T{hour:02}:00:00Z", **more}


def track(hour: int, id_: str, **who: str) -> JSON:
    return call("track", hour, id_, event="Clicked", **who)


def story(user: str, group: str) -> list[list[JSON]]:
    """Batches of one user: a visitor, who signs in, joins a company, goes on."""
    anonymous, known = f"anon-{user}", {"userId": user}
    traits = {"email": f"{user}@{group}.test", "name": user.title()}
    return [
        [track(1, f"{user}-1", anonymousId=anonymous)],
        [
            call("identify", 2, f"{user}-2", traits=traits, anonymousId=anonymous, **known),
            track(3, f"{user}-3", **known),
        ],
        [
            call("group", 4, f"{user}-4", groupId=group, traits={"name": group.title()}, **known),
            track(5, f"{user}-5", **known),
        ],
        [track(6, f"{user}-6", anonymousId=anonymous), track(7, f"{user}-7", **known)],
    ]


def run(client: httpx.Client, key: str, settle: Callable[[], None]) -> JSON:
    """Two users of one company, everything sent twice; what came of it."""
    client.put("/v1/templates/hi", json={"name": "hi", "subject": "Hi", "markdown": "Hi {{ contact.name }}"})
    for name in ("hello", "missed"):
        body = {"name": name, "steps": [{"email": {"template": "hi", "to": "all"}}]}
        client.put(f"/v1/playbooks/{name}", json=body).raise_for_status()
    for body in RULES:
        client.put(f"/v1/rules/{body['name']}", json={**body, "status": "active"}).raise_for_status()
    sent = [*story("ann", "globex"), *story("bob", "globex")]
    for batch in [*sent, *sent]:
        answer = client.post("/v1/batch", json={"batch": batch}, auth=(key, ""))
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        settle()
    found: JSON = {"accounts": [one["id"] for one in items(client, "/v1/accounts")]}
    explained = client.get("/v1/rules/three/explain", params={"account": "globex"}).json()
    found["counted"] = (explained["value"], sorted(explained["evidence"]))
    client.post("/v1/clock", json={"time": "2026-01-10T00:00:00Z"}).raise_for_status()
    settle()
    names = ("ann", "anon-ann", "bob", "anon-bob", "globex")
    shown = {name: client.get(f"/v1/accounts/{name}").json() for name in names}
    found["merged"] = {name: one["merged_into"] for name, one in shown.items()}
    found["contacts"] = sorted((one["id"], one["email"], one["name"]) for one in shown["globex"]["contacts"])
    found["fired"] = sorted(
        (one["rule"], one["account"], one["evidence"]) for one in items(client, "/v1/triggers")
    )
    found["mails"] = sorted(
        (one["account"], one["contact"], one["status"]) for one in items(client, "/v1/actions")
    )
    return found


def expected() -> JSON:
    """The clicks before the group call are those of the lone user's past; what came for it later counts here."""
    here = [f"{user}-{n}" for user in ("ann", "bob") for n in (5, 6, 7)]
    return {
        "accounts": ["globex"],
        "counted": (6, here),
        "merged": {"ann": "globex", "anon-ann": "ann", "bob": "globex", "anon-bob": "bob", "globex": None},
        "contacts": [("ann", "ann@globex.test", "Ann"), ("bob", "bob@globex.test", "Bob")],
        "fired": [("gone", "globex", ["ann-7"]), ("three", "globex", ["ann-5", "ann-6", "ann-7"])],
        "mails": [
            ("globex", "ann", "done"), ("globex", "ann", "done"), ("globex", "bob", "done"),
        ],
    }  # fmt: skip


def test_embedded(tmp_path: Path, sink: Sinks) -> None:
    sink.clear()
    with running(tmp_path, **SETTINGS, SMTP_URL=sink.smtp_url) as server, server.client() as client:
        assert run(client, server.key, server.settle) == expected()


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(400)
def test_kafka_and_postgres(kafka: KafkaServer, fresh_postgres_url: str, sink: Sinks, tmp_path: Path) -> None:
    sink.clear()
    counts = {"ingest": 2, "rules": 3, "actions": 2}
    settings = {**SETTINGS, "SMTP_URL": sink.smtp_url}
    stack = Stack(tmp_path, kafka.bootstrap_servers, fresh_postgres_url, counts, settings)
    with stacked(stack), stack.client() as client:
        assert run(client, stack.key, stack.settle) == expected()
        assert stack.surprises() == []
