"""Merges of accounts on both stacks, step by step: the same triggers, plays, actions and tasks, and the right ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import KafkaServer
from tests.e2e.server import items, running
from tests.e2e.sinks import Sinks, sinks
from tests.e2e.stack import Stack, stacked
from tests.e2e.workload import START, configure, post

SETTINGS = {"CLOCK": "log", "PARTITIONS": "6", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
JSON = dict[str, Any]


@pytest.fixture(scope="module")
def sink() -> Iterator[Sinks]:
    with sinks() as found:
        yield found


def at(hours: float, type_: str, account: str, id_: str, **more: Any) -> JSON:
    time = (START + timedelta(hours=hours)).isoformat()
    return {"id": id_, "source": "test", "type": type_, "account": account, "time": time, **more}


# a0 goes on in a1, that in a2; a3 too goes on in a2. Between the steps all comes to rest.
STEPS: list[list[JSON]] = [
    [
        at(1, "login", "a0", "1"),
        at(1, "ticket", "a0", "2"), at(2, "ticket", "a0", "3"),  # spike: a task
        at(1, "ticket", "a1", "2"), at(1, "ticket", "a2", "9"),
        at(2, "contact.updated", "a0", "4", contact="cem", data={"email": "cem@a0.test", "name": "Cem"}),
    ],
    [at(31.5, "seen", "a0", "5")],  # gone for 30 hours: a play that waits for six
    [at(32, "account.merged", "a0", "m1", data={"into": "a1"})],
    [
        at(33, "ticket", "a0", "6"), at(33, "ticket", "a0", "6"), at(2, "ticket", "a0", "3"),  # one of them new
        at(33, "bought", "a0", "7", data={"amount": 150}), at(33, "bought", "a1", "7", data={"amount": 60}),
    ],  # spender of a1: the two have one id and are two
    [
        at(34, "account.merged", "a1", "m2", data={"into": "a2"}),
        at(34, "account.merged", "a3", "m3", data={"into": "a2"}),
    ],
    [at(35, "ticket", "a0", "8"), at(35.5, "ticket", "a3", "9")],  # spike of a2
    [
        at(36, "login", "a1", "10"),
        at(36, "contact.updated", "a1", "11", contact="cem", data={"name": "Cem the Second"}),
    ],
    [at(60, "seen", "a2", "12")],
    [at(70, "seen", "a2", "13")],  # gone for 30 hours
    [at(71, "account.deleted", "a0", "14")],
    [at(72, "ticket", "a0", "15")],  # a new one
]  # fmt: skip


def run(client: httpx.Client, sink: Sinks, settle: Callable[[], None]) -> JSON:
    """The whole story; what came of it."""
    sink.clear()
    configure(client, sink.hook_url, 6)
    found: JSON = {"on the way": []}
    for step in STEPS:
        post(client, step)
        settle()
        found["on the way"].append(sorted(account["id"] for account in items(client, "/v1/accounts")))
        if step[0]["id"] == "m1":
            found["ended"] = {
                what: sorted(
                    (one["status"], one["reason"]) for one in items(client, f"/v1/{what}?account=a0")
                )
                for what in ("plays", "tasks")
            }
            fired = items(client, "/v1/triggers?account=a0")
            found["ended"]["triggers"] = sorted((one["rule"], one["evidence"]) for one in fired)
        if step[0]["id"] == "14":
            found["erased"] = client.get("/v1/accounts/a0").status_code
    client.post("/v1/clock", json={"time": (START + timedelta(days=9)).isoformat()}).raise_for_status()
    settle()
    for what, without in (
        ("triggers", {"position"}), ("plays", {"trigger"}), ("actions", {"done_at"}),
        ("tasks", {"created_at", "completed_at"}),
    ):  # fmt: skip
        rows = items(client, f"/v1/{what}")
        found[what] = {row["id"]: {k: v for k, v in row.items() if k not in without} for row in rows}
    found["accounts"] = {name: client.get(f"/v1/accounts/{name}").json() for name in ("a1", "a2", "a3")}
    found["explained"] = client.get("/v1/rules/spike/explain", params={"account": "a1"}).json()
    return found


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, sink: Sinks) -> JSON:
    folder = tmp_path_factory.mktemp("embedded")
    with running(folder, **SETTINGS, SMTP_URL=sink.smtp_url) as server, server.client() as client:
        return run(client, sink, server.settle)


def test_each_event_counts_where_it_should_and_once(embedded: JSON) -> None:
    assert embedded["ended"]["triggers"] == [("gone", ["1"]), ("spike", ["2", "3"])]
    fired = sorted((t["rule"], t["account"], t["evidence"]) for t in embedded["triggers"].values())
    assert fired == [("gone", "a2", ["10"]), ("spender", "a1", ["7", "7"]), ("spike", "a2", ["8", "9"])]
    assert embedded["explained"]["reason"] == "account_merged"


def test_plays_and_tasks_of_a_closed_account_end(embedded: JSON) -> None:
    assert embedded["ended"]["plays"] == [("exited", "account_merged"), ("finished", "completed")]
    assert embedded["ended"]["tasks"] == [("closed", "account_merged")]
    # All that was kept of a0 went with it in the end; a1's play had come to its end before.
    assert {play["account"] for play in embedded["plays"].values()} == {"a1", "a2"}
    assert {task["account"] for task in embedded["tasks"].values()} == {"a2"}


def test_accounts_show_where_they_went(embedded: JSON) -> None:
    accounts = embedded["accounts"]
    assert {name: one["merged_into"] for name, one in accounts.items()} == {
        "a1": "a2",
        "a2": None,
        "a3": "a2",
    }
    contacts = {one["id"]: (one["name"], one["email"]) for one in accounts["a2"]["contacts"]}
    assert contacts == {"ann": ("Ann", "ann@a2.test"), "cem": ("Cem the Second", "cem@a0.test")}
    assert accounts["a1"]["contacts"] == accounts["a3"]["contacts"] == []
    everybody = [f"a{n}" for n in range(6)]
    assert embedded["on the way"][1] == everybody
    assert embedded["on the way"][2] == everybody[1:]
    assert embedded["on the way"][4] == ["a2", "a4", "a5"]
    assert embedded["erased"] == 404
    assert embedded["on the way"][-1] == ["a0", "a2", "a4", "a5"]


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(400)
@pytest.mark.parametrize("workers", [1, 3])
def test_kafka_and_postgres_give_the_same(
    embedded: JSON, workers: int, kafka: KafkaServer, fresh_postgres_url: str, sink: Sinks, tmp_path: Path
) -> None:
    counts = {"ingest": 1, "rules": workers, "actions": 1}
    settings = {**SETTINGS, "SMTP_URL": sink.smtp_url}
    stack = Stack(tmp_path, kafka.bootstrap_servers, fresh_postgres_url, counts, settings)
    with stacked(stack), stack.client() as client:
        got = run(client, sink, stack.settle)
        assert stack.surprises() == []
    assert got == embedded
