"""Backtests over HTTP, on both stacks: the server's own triggers, and nothing is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import MetaData, func, select

from backbone import tables as backbone_tables
from backbone.jobs import runner
from backbone.log import TOPICS
from backbone.settings import load_settings
from deploy.local.process import wait_until
from services.actions import tables as actions_tables
from services.app import Runtime, running
from services.ingest import tables as ingest_tables
from services.rules import tables as rules_tables

JSON = dict[str, Any]
ROOMS: list[MetaData] = [
    one.metadata for one in (backbone_tables, ingest_tables, rules_tables, actions_tables)
]
SPIKE: JSON = {
    "name": "spike",
    "when": {"threshold": {"event": "ticket.opened", "within": "7d", "at_least": {"high": 2, "tech": 4}}},
    "cooldown": "3d",
}
SILENT: JSON = {"name": "silent", "when": {"absence": {"event": "ticket.opened", "for": "4d"}}}


@pytest.fixture(autouse=True)
def _awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "NICENESS", 1)


@contextmanager
def server(folder: Path, stores: JSON, **more: Any) -> Iterator[tuple[Runtime, httpx.Client]]:
    settings = load_settings(data_dir=folder, port=0, partitions=3, **{"clock": "log", **stores, **more})
    with running(settings) as (rooms, url):
        key = rooms.new_admin_key or _made(rooms)
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            yield rooms, client


def _made(rooms: Runtime) -> str:
    from backbone.web.api_keys import create_key

    return create_key(rooms.db, rooms.clock, "test", ["admin"])


def at(day: int, hour: int = 9) -> str:
    return f"2026-03-{day:02d}T{hour:02d}:00:00Z"


def history() -> list[JSON]:
    """Tickets of five accounts, one of which goes away."""
    found = [
        {"id": f"{name}-{day}", "type": "ticket.opened", "account": name, "time": at(day, 9 + place)}
        for place, name in enumerate(("acme", "beta", "cord", "dune", "gone"))
        for day in range(1, 25, place + 1)
    ]
    return sorted(found, key=lambda event: event["time"])


def settled(client: httpx.Client) -> None:
    wait_until("all is decided", lambda: client.get("/v1/status").json()["idle"], 60)


def asked(client: httpx.Client, **body: Any) -> JSON:
    """A backtest that has ended."""
    answer = client.post("/v1/backtests", json=body)
    assert answer.status_code == 202, answer.text
    return ended(client, answer.json()["id"])


def ended(client: httpx.Client, job: str) -> JSON:
    def over() -> JSON | None:
        found: JSON = client.get(f"/v1/backtests/{job}").json()
        return found if found["status"] not in ("queued", "running") else None

    return wait_until("the backtest", over, 60)


def triggers(client: httpx.Client, path: str, **query: Any) -> list[JSON]:
    found: list[JSON] = []
    cursor: JSON = {}
    while True:
        page = client.get(path, params={"limit": 7, **query, **cursor}).json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def rows(rooms: Runtime) -> JSON:
    """How many rows every table has, but for those of jobs and what chores write, and where the log ends."""
    chores = (rules_tables.backtest_erasures, rules_tables.account_rows)
    with rooms.db.read() as conn:
        counts = {
            table.name: conn.scalar(select(func.count()).select_from(table))
            for metadata in ROOMS
            for table in metadata.tables.values()
            if not table.name.startswith("backbone_job")
            and "_stats" not in table.name
            and table not in chores
        }
        states = {row.account: row.state for row in conn.execute(select(rules_tables.accounts))}
    return {
        "rows": counts,
        "states": states,
        "log": {topic: rooms.log.end_offsets(topic) for topic in TOPICS},
    }


def test_its_triggers_are_those_of_the_server(tmp_path: Path, stores: JSON) -> None:
    with server(tmp_path, stores) as (rooms, client):
        for rule in (SPIKE, SILENT):
            assert client.post("/v1/rules", json={**rule, "status": "active"}).status_code == 201
        assert client.put(f"/v1/accounts/acme?time={at(1, 0)}", json={"tier": "high"}).status_code == 202
        assert client.post("/v1/events", json=history()).status_code == 202
        gone = {"id": "end", "type": "account.deleted", "account": "gone", "time": at(25)}
        assert client.post("/v1/events", json=gone).status_code == 202
        assert client.post("/v1/clock", json={"time": at(30)}).status_code == 202
        settled(client)
        before = rows(rooms)
        for rule in (SPIKE, SILENT):
            found = asked(client, rule={**rule, "description": "a body"})
            wanted = {one["id"]: one for one in triggers(client, "/v1/triggers", rule=rule["name"])}
            got = {one["id"]: one for one in triggers(client, f"/v1/backtests/{found['id']}/triggers")}
            assert len(wanted) > 5
            assert got == wanted
            assert found["triggers"] == len(wanted) == sum(found["by_tier"].values())
            assert sum(day["high"] + day["low"] + day["tech"] for day in found["by_day"]) == len(wanted)
            standing = f"/v1/backtests/{found['id']}/matches"
            live = triggers(client, f"/v1/rules/{rule['name']}/matches", near=0)
            for one in live:
                del one["last_trigger"], one["cooldown_until"]
            assert triggers(client, standing, near=0) == live != []
            assert triggers(client, standing) == [one for one in live if one["share"] >= 1]
            assert "gone" not in {one["account"] for one in got.values()}
        saved = asked(client, rule="spike", against="silent", **{"from": at(5), "to": at(9)})
        assert (saved["rule_version"], saved["against"]["rule"]) == (1, "silent")
        shown = triggers(client, f"/v1/backtests/{saved['id']}/triggers")
        all_of_it = triggers(client, "/v1/triggers", rule="spike")
        inside = {one["id"] for one in all_of_it if at(5) <= one["at"] < at(9)}
        assert {one["id"] for one in shown} == inside != set()
        dropped = triggers(client, f"/v1/backtests/{saved['id']}/triggers", change="dropped")
        assert {one["rule"] for one in dropped} == {"silent"}
        assert len(dropped) == saved["against"]["dropped"]
        for item in client.get("/v1/backtests").json()["items"]:
            assert client.delete(f"/v1/backtests/{item['id']}").status_code == 204
        assert rows(rooms) == before
        assert client.get("/v1/status").json()["idle"]


def test_the_erased_leave_kept_backtests(tmp_path: Path) -> None:
    with server(tmp_path, {}) as (rooms, client):
        people = [{**event, "contact": f"c{number % 2}"} for number, event in enumerate(history())]
        assert client.post("/v1/events", json=people).status_code == 202
        found = asked(client, rule={**SPIKE, "cooldown": "0s", "scope": "contact"})
        path = f"/v1/backtests/{found['id']}"

        def shown() -> set[tuple[str, str]]:
            listed = [*triggers(client, f"{path}/triggers"), *triggers(client, f"{path}/matches", near=0)]
            return {(one["account"], one["contact"]) for one in listed}

        before = shown()
        assert {("acme", "c0"), ("acme", "c1"), ("beta", "c0"), ("beta", "c1")} <= before
        gone = {"id": "end", "type": "account.deleted", "account": "beta", "time": at(26)}
        person = {"id": "end", "type": "contact.deleted", "account": "acme", "contact": "c0", "time": at(26)}
        assert client.post("/v1/events", json=[gone, person]).json()["accepted"] == 2
        after = {one for one in before if one[0] != "beta" and one != ("acme", "c0")}
        wait_until("they have left", lambda: shown() == after, 60)
        erasures = select(func.count()).select_from(rules_tables.backtest_erasures)

        def left() -> bool:
            with rooms.db.read() as conn:
                return conn.scalar(erasures) == 0

        wait_until("nothing is left to do", left, 60)


def test_an_import_is_judged_as_if_it_had_been_live(tmp_path: Path) -> None:
    """By the wall clock, and rules of other names live: none of them hears of it."""
    with server(tmp_path, {}, clock="wall") as (_, client):
        assert client.post("/v1/rules", json={**SPIKE, "status": "active"}).status_code == 201
        imported = [{**event, "historical": True} for event in reversed(history())]
        assert client.post("/v1/events", json=imported).status_code == 202
        assert client.put("/v1/accounts/acme?historical=true", json={"tier": "high"}).status_code == 202
        settled(client)
        values = [2, {"high": 30}, {"high": 1, "low": 2}]
        found = asked(client, rule="spike", vary={"when.threshold.at_least": values})
        assert triggers(client, "/v1/triggers") == []
        first = triggers(client, f"/v1/backtests/{found['id']}/triggers")[0]
        assert (first["account"], first["tier"], first["at"]) == ("acme", "high", at(2))
        assert [one["value"] for one in found["variants"]] == values
        assert [one["triggers"] for one in found["variants"]][1] == 0
        assert found["variants"][0]["triggers"] > found["triggers"]
        assert found["log_from"] == at(1)
        assert found["events"] == len(imported) + 1
        low = asked(client, rule="spike", tiers=[{"tier": "low"}])
        assert low["by_tier"] == {"high": found["by_tier"]["high"], "low": 0, "tech": 0}


def test_of_one_key_two_wait_or_run_and_what_is_asked_again_is_one(tmp_path: Path) -> None:
    with server(tmp_path, {}) as (_, client):
        again = {"Idempotency-Key": "once"}
        first = client.post("/v1/backtests", json={"rule": SPIKE}, headers=again)
        assert client.post("/v1/backtests", json={"rule": SPIKE}, headers=again).json() == first.json()
        second = client.post("/v1/backtests", json={"rule": SPIKE}).json()
        refused = client.post("/v1/backtests", json={"rule": SPIKE})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        waiting = client.get(f"/v1/backtests/{second['id']}/triggers")
        assert waiting.status_code == 409
        assert client.delete(f"/v1/backtests/{second['id']}").status_code == 204
        assert client.get(f"/v1/backtests/{second['id']}").status_code == 404
        found = ended(client, first.json()["id"])
        assert (found["status"], found["triggers"], found["log_from"], found["events"]) == (
            "done",
            0,
            None,
            0,
        )
        for query, field in (({"variant": 0}, "variant"), ({"change": "added"}, "change")):
            wrong = client.get(f"/v1/backtests/{found['id']}/triggers", params=query)
            assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (
            {"rule": {**SPIKE, "when": {"threshold": {"event": "a", "at_leest": 3}}}},
            "rule.when.threshold.at_leest",
        ),
        ({"rule": SPIKE, "vary": {"when.threshold.at_least": [3, "x"]}}, "vary.when.threshold.at_least.1"),
        ({"rule": SPIKE, "vary": {"when.threshold.foo": [3]}}, "vary.when.threshold.foo.0"),
        ({"rule": SPIKE, "vary": {"when.threshold.event.0": [3]}}, "vary.when.threshold.event.0"),
        ({"rule": SPIKE, "vary": {"name": ["x"]}}, "vary.name"),
        ({"rule": SPIKE, "vary": {"cooldown": []}}, "vary.cooldown"),
        ({"rule": SPIKE, "vary": {"cooldown": ["1d"] * 21}}, "vary.cooldown"),
        ({"rule": SPIKE, "vary": {"cooldown": ["1d"], "where": [{}]}}, "vary"),
        ({"rule": SPIKE, "from": at(2), "to": at(2)}, "to"),
        ({"rule": SPIKE, "tiers": [{"tier": "big"}]}, "tiers.0.tier"),
        ({"rule": 5}, "rule"),
    ],
)
def test_what_is_wrong_is_named(one_server: httpx.Client, body: JSON, field: str) -> None:
    answer = one_server.post("/v1/backtests", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("body", [{"rule": "none"}, {"rule": SPIKE, "against": "none"}])
def test_a_rule_that_nobody_saved_is_unknown(one_server: httpx.Client, body: JSON) -> None:
    assert one_server.post("/v1/backtests", json=body).status_code == 404


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with server(tmp_path_factory.mktemp("data"), {}) as (_, client):
        yield client
