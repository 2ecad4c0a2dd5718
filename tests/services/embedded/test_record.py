"""`GET /v1/accounts/{id}/record`: everything about one account or person, and nothing about others."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from backbone.clock import WallClock
from backbone.settings import load_settings
from backbone.web import account_record
from backbone.web.account_record import RecordOut
from backbone.web.api_keys import create_key
from services.app import Runtime, running
from tests.e2e.stack import until
from tests.e2e.test_erased_files import configure, live


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, httpx.Client]]:
    folder = tmp_path_factory.mktemp("record")
    settings = load_settings(data_dir=folder, port=0, partitions=2, secret_key="a secret for tests only")
    with running(settings) as (rooms, url):
        key = (folder / "admin.key").read_text().strip()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            configure(client)
            for who in ("ann", "zoe"):
                live(client, who)
            until("all is done", lambda: client.get("/v1/status").json()["idle"])
            yield rooms, client


def record_of(client: httpx.Client, account: str, **query: str) -> dict[str, Any]:
    answer = client.get(f"/v1/accounts/{quote(account, safe='')}/record", params=query)
    answer.raise_for_status()
    RecordOut.model_validate(answer.json())
    found: dict[str, Any] = answer.json()
    return found


def test_all_of_an_account_and_nothing_of_others(house: tuple[Runtime, httpx.Client]) -> None:
    found = record_of(house[1], "ann-account")
    assert (found["account"], found["contact"]) == ("ann-account", None)
    parts = found["services"]
    assert list(parts) == ["ingest", "rules", "actions"]
    assert "zoe" not in json.dumps(found)
    for word in ("company", "owner", "address", "former", "note", "traits", "plan", "title"):
        assert f"ann-{word}" in json.dumps(found), word
    assert parts["rules"]["account"]["name"] == "ann-company"
    assert {one["rule"] for one in parts["rules"]["triggers"]} == {"go"}
    assert [one["data"]["note"] for one in parts["rules"]["remembered"]["armed"]] == ["ann-note"]
    types = [one["event"]["type"] for one in parts["rules"]["touchline.events"]]
    assert {"account.updated", "go", "touchline.play.started", "touchline.email.sent"} <= set(types)
    assert [one["trigger"]["rule"] for one in parts["rules"]["touchline.triggers"]] == ["go"]
    assert [one["playbook"] for one in parts["actions"]["plays"]] == ["touch"]
    assert {one["channel"] for one in parts["actions"]["actions"]} == {"task", "email", "webhook"}
    mails = {one["recipient"]: one for one in parts["actions"]["actions"] if one["channel"] == "email"}
    mail = mails["ann-former@mail.example"]  # the other one may have been suppressed by then
    assert "ann-note" in json.dumps(mail["rendered"])
    assert mail["history"]
    assert {one["title"] for one in parts["actions"]["tasks"]} == {"ann-title", "Call Ann ann-name"}
    assert [one["address"] for one in parts["actions"]["suppressions"]] == ["ann-address@mail.example"]
    assert {one["user"] for one in parts["ingest"]["users"]} == {"ann-person"}
    assert parts["ingest"]["calls"]
    assert {"kind": "email", "name": "ann-former", "text": None} in parts["ingest"]["directory"]


def test_of_a_person_only_what_is_theirs(house: tuple[Runtime, httpx.Client]) -> None:
    parts = record_of(house[1], "ann-account", contact="ann-person")["services"]
    assert (
        parts["rules"]["contact"]["email"]
        == parts["actions"]["contact"]["email"]
        == "ann-traits@mail.example"
    )
    assert {one["contact"] for one in parts["actions"]["plays"]} == {"ann-person"}
    assert "event_ids" not in parts["rules"]["remembered"]
    types = {one["event"]["type"] for one in parts["rules"]["touchline.events"]}
    assert "touchline.task.created" in types
    other = record_of(house[1], "ann-account", contact="ann-former")["services"]
    assert {one["event"]["type"] for one in other["rules"]["touchline.events"]} == {
        "account.updated",
        "touchline.email.sent",
    }
    assert [one["recipient"] for one in other["actions"]["actions"]] == ["ann-former@mail.example"]
    assert (other["actions"]["plays"], other["actions"]["suppressions"], other["ingest"]["users"]) == (
        [],
        [],
        [],
    )
    nobody = record_of(house[1], "ann-account", contact="zoe-person")["services"]
    assert all(
        part in (None, [], {"armed": [], "last_triggers": []})
        for one in nobody.values()
        for part in one.values()
    )


def test_an_erased_account_is_in_the_log_alone(house: tuple[Runtime, httpx.Client]) -> None:
    client = house[1]
    live(client, "gone")
    client.post("/v1/events", json={"type": "account.deleted", "account": "gone-account"}).raise_for_status()
    until("all is done", lambda: client.get("/v1/status").json()["idle"])
    parts = record_of(client, "gone-account")["services"]
    kept = {name for one in parts.values() for name, part in one.items() if part}
    assert kept == {"touchline.events", "touchline.triggers"}
    assert parts["rules"]["account"] is None


def test_who_may_ask_and_for_what(house: tuple[Runtime, httpx.Client]) -> None:
    rooms, client = house
    key = create_key(rooms.db, WallClock(), "reader", ["rules:read", "actions:read"])
    path = "/v1/accounts/ann-account/record"
    assert client.get(path, headers={"authorization": f"Bearer {key}"}).status_code == 403
    assert client.get(path, params={"contcat": "ann"}).status_code == 422
    assert client.get(path, params={"contact": ""}).status_code == 422
    unknown = record_of(client, "nobody")["services"]
    assert all(not part for one in unknown.values() for part in one.values())


def test_names_with_slashes(house: tuple[Runtime, httpx.Client]) -> None:
    client = house[1]
    for name in ("a/b", "a/record", "a"):
        client.put(f"/v1/accounts/{quote(name, safe='')}", json={"name": f"the {name}"}).raise_for_status()
    until("all is done", lambda: client.get("/v1/status").json()["idle"])
    for name in ("a/b", "a/record", "a"):
        assert record_of(client, name)["services"]["rules"]["account"]["name"] == f"the {name}"
        assert client.get(f"/v1/accounts/{quote(name, safe='')}").json()["name"] == f"the {name}"


def test_its_memory_does_not_grow_with_what_there_is() -> None:
    class Much:
        name = "much"

        def record(self, account: str, contact: str | None) -> account_record.Parts:
            yield "rows", ({"text": account * 100} for _ in range(20_000))

    tracemalloc.start()
    made = sum(len(piece) for piece in account_record._pieces([Much()], "acme", None, "now"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made > 8_000_000
    assert peak < 1_000_000


def test_what_is_there_by_the_thousands_comes_once_each(tmp_path: Path) -> None:
    from sqlalchemy import Column, Integer, Table, insert, select

    from backbone.database import Database, metadata

    room = metadata("rules")
    table = Table(
        "rules_pairs", room, Column("a", Integer, primary_key=True), Column("b", Integer, primary_key=True)
    )
    db = Database(f"sqlite:///{tmp_path / 'x.db'}")
    pairs = [{"a": n // 7, "b": n % 7} for n in range(1_000)]
    with db.write() as conn:
        room.create_all(conn)
        conn.execute(insert(table), pairs)
    found = account_record.rows(
        db, select(table), [table.c.a, table.c.b], lambda _, row: account_record.as_dict(row)
    )
    assert list(found) == pairs
    db.close()
