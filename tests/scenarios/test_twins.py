"""One workload on both stacks: the same triggers, plays, actions, tasks and mails, ids included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import KafkaServer
from tests.e2e.letters import wherever
from tests.e2e.server import items, running
from tests.e2e.sinks import Sinks, sinks
from tests.e2e.stack import Stack, stacked
from tests.e2e.workload import START, batches, configure, events, post
from tests.scenarios.rehearsed import expected, rehearsed, said

EVENTS, ACCOUNTS = 1_500, 90
END = START + timedelta(days=12)
SETTINGS = {"CLOCK": "log", "PARTITIONS": "6", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sinks]:
    with sinks() as found:
        yield found


def run(client: httpx.Client, sink: Sinks, settle: Callable[[], None]) -> dict[str, Any]:
    """The whole workload in order, then the clock to the end; what came of it."""
    sink.clear()
    configure(client, sink.hook_url, ACCOUNTS)
    for batch in batches(events(7, EVENTS, range(ACCOUNTS))):
        post(client, batch)
    client.post("/v1/clock", json={"time": END.isoformat()}).raise_for_status()
    settle()
    found: dict[str, Any] = {}
    for what, without in (
        ("triggers", {"position"}),  # of the record on this log
        ("plays", {"trigger"}),
        ("actions", {"done_at"}),
        ("tasks", {"created_at", "completed_at"}),
    ):
        rows = items(client, f"/v1/{what}")
        found[what] = {row["id"]: {k: v for k, v in row.items() if k not in without} for row in rows}
        assert len(found[what]) == len(rows)
    for play in items(client, "/v1/plays"):
        trigger = play["trigger"]
        found["plays"][play["id"]]["trigger"] = trigger if isinstance(trigger, str) else trigger["id"]
    before = _everything(client)
    found["rehearsed"] = {name: rehearsed(client, name, END) for name in ("outreach", "missing")}
    assert _everything(client) == before  # nothing was stored, sent or counted
    found["mails"], found["hooks"] = dict(sink.mails), dict(sink.hooks)
    found["said"] = {action: wherever(line) for action, line in sink.arrived().said.items()}
    return found


def _everything(client: httpx.Client) -> list[Any]:
    """All rows of the actions service, how far it is, and the newest events."""
    lists = [items(client, f"/v1/{what}") for what in ("plays", "actions", "tasks", "suppressions")]
    status = client.get("/v1/status").json()
    return [*lists, status, client.get("/v1/accounts/a1/events").json()]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, sink: Sinks) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("embedded")
    with running(folder, **SETTINGS, SMTP_URL=sink.smtp_url) as server, server.client() as client:
        return run(client, sink, server.settle)


def test_the_workload_does_something_of_every_kind(embedded: dict[str, Any]) -> None:
    rules = {trigger["rule"] for trigger in embedded["triggers"].values()}
    assert rules == {"spike", "spender", "gone", "late-payer"}
    assert {t["tier"] for t in embedded["triggers"].values()} == {"high", "low", "tech"}
    assert {p["status"] for p in embedded["plays"].values()} >= {"finished", "exited", "skipped"}
    assert {a["channel"] for a in embedded["actions"].values()} == {"email", "task", "webhook"}
    assert {a["status"] for a in embedded["actions"].values()} == {"done"}
    assert embedded["tasks"]
    assert set(embedded["mails"].values()) == set(embedded["hooks"].values()) == {1}


def test_a_rehearsal_says_what_the_server_did(embedded: dict[str, Any]) -> None:
    reports = embedded["rehearsed"]
    for playbook, report in reports.items():
        assert said(report) == expected(embedded, playbook), playbook
        assert report["errors"] == [], playbook
    assert len(reports["outreach"]["samples"]) == 5
    assert reports["missing"]["by_status"]["exited"]
    assert reports["missing"]["actions"]["task"]


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(400)
@pytest.mark.parametrize("workers", [1, 3])
def test_kafka_and_postgres_give_the_same(
    embedded: dict[str, Any],
    workers: int,
    kafka: KafkaServer,
    fresh_postgres_url: str,
    sink: Sinks,
    tmp_path: Path,
) -> None:
    counts = {"ingest": 1, "rules": workers, "actions": 1}
    stack = Stack(
        tmp_path, kafka.bootstrap_servers, fresh_postgres_url, counts, {**SETTINGS, "SMTP_URL": sink.smtp_url}
    )
    with stacked(stack), stack.client() as client:
        got = run(client, sink, stack.settle)
        assert stack.surprises() == []
        assert [worker.kind for worker in stack.of("rules") if worker.working()] == ["rules"] * workers
    for what, want in embedded.items():
        assert got[what].keys() == want.keys(), what
        # A row of what differs: pytest's comparison of everything takes minutes.
        different = [(row, got[what][name]) for name, row in want.items() if got[what][name] != row]
        assert not different, (what, *different[0])
