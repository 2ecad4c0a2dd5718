"""`touchline import --dry-run`: what it says would come is what comes, and until then nothing does."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from backbone.settings import load_settings
from services.app import running
from services.cli.client import Client
from services.cli.imports.command import Accounts, Events, Options, read
from services.cli.imports.preview import World
from services.cli.imports.report import Report
from services.cli.imports.whom import cooled, rules_of
from services.cli.main import app
from services.cli.terminal import err

RULES: list[dict[str, Any]] = [
    {"name": "pro", "when": {"becomes": {"is": {"account.attributes.plan": "pro"}}}},
    {"name": "once", "when": {"becomes": {"is": {"account.attributes.plan": "pro"}}}, "cooldown": "once"},
    {"name": "eu", "when": {"becomes": {"is": {"contact.locale": "de"}}}, "scope": "contact"},
    {
        "name": "spike",
        "when": {
            "threshold": {
                "event": "ticket.opened",
                "within": "20d",
                "at_least": {"high": 2, "low": 4, "tech": 6},
            }
        },
    },
    {"name": "by-area", "when": {"threshold": {"event": "ticket.opened", "at_least": 4}}, "by": "data.area"},
    {"name": "gone", "when": {"absence": {"event": "login", "for": "5d"}}},
    {"name": "renewal", "when": {"date": {"attribute": "account.attributes.renews_on", "before": "30d"}}},
]
TIERS = [{"tier": "high", "where": {"account.attributes.arr": {"gte": 50000}}}, {"tier": "tech"}]
WAIT_S = 60.0
DAY_S = 86_400


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"), port=0, partitions=2)
    with pytest.MonkeyPatch.context() as patch, running(settings) as (rooms, url):
        patch.setenv("TOUCHLINE_URL", url)
        patch.setenv("TOUCHLINE_API_KEY", str(rooms.new_admin_key))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        headers = {"authorization": f"Bearer {rooms.new_admin_key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            for rule in RULES:
                assert client.post("/v1/rules", json={**rule, "status": "active"}).status_code == 201
            assert client.put("/v1/tiers", json={"tiers": TIERS}).status_code == 200
            yield client


def called(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["import", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def settled(client: httpx.Client) -> None:
    end = time.monotonic() + WAIT_S
    while client.get("/v1/status").json()["services"]["rules"]["lag"]:
        assert time.monotonic() < end
        time.sleep(0.02)


def everything(client: httpx.Client) -> Any:
    """What a dry run must leave as it is."""
    settled(client)
    paths = ("accounts", "triggers", "suppressions")
    metrics = client.get("/metrics").text.splitlines()
    events = [line for line in metrics if line.startswith("touchline_events_accepted_total")]
    return [client.get(f"/v1/{path}").json()["items"] for path in paths], events


def subjects(client: httpx.Client, path: str, **query: Any) -> set[tuple[str, str | None, str | None]]:
    items = client.get(path, params={"limit": 1_000, **query}).json()["items"]
    return {(one["account"], one["contact"], one["key"]) for one in items}


def ago(days: float) -> str:
    """A time so long ago, at a full minute."""
    now = int(time.time()) // 60 * 60
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - int(days * DAY_S)))


def events_of(chance: random.Random, count: int) -> list[str]:
    events = [
        {
            "type": chance.choice(["login", "ticket.opened"]),
            "account": f"new{chance.randrange(12)}",
            "contact": chance.choice(["ann", "bo"]),
            "time": ago(chance.randrange(1, 40 * 24) / 24),
            "data": {"area": chance.choice(["a", "b"])},
        }
        for _ in range(count)
    ]
    events.sort(key=lambda one: str(one["time"]))
    return list(map(json.dumps, events))


def table_of(chance: random.Random, names: list[str]) -> str:
    rows = ["id,attributes.plan,attributes.arr,attributes.renews_on,contact.id,contact.locale"]
    for name in names:
        plan, arr = chance.choice(["pro", "free", ""]), chance.choice(["60000", "10", ""])
        renews = ago(-chance.randrange(1, 60))[:10]
        contact = chance.choice(["ann,de", "bo,en", ","])
        rows.append(f"{name},{plan},{arr},{renews},{contact}")
    return "\n".join(rows) + "\n"


def foreseen(paths: list[Path], *, historical: bool) -> dict[str, tuple[set[Any], set[Any], set[Any]]]:
    """By rule: for whom it would fire, who is in the cooldown, and for whom it would hold."""
    client = Client()
    rules, tiers = rules_of(client)
    with World(client, rules, tiers, historical=historical, in_order=False) as world:
        for source in read(paths, Options(historical=historical)):
            report = Report(source.path, err)
            if isinstance(source, Events):
                world.of_events(source.path, report, err)
            elif isinstance(source, Accounts):
                world.of_accounts(source.table, source.columns, report, err)
        touched = list(world.judge.touched(events=True))
        cooled(client, touched)
    client.close()
    return {
        one.rule.name: (
            set(one.fires),
            set(one.cooling),
            {(each.account, each.contact, each.key) for each in one.holds},
        )
        for one in touched
    }


def test_what_would_hold_and_what_would_fire_is_what_then_does(client: httpx.Client, tmp_path: Path) -> None:
    """First the past, as historical; then a table with some accounts that are known by then and some that are not."""
    chance = random.Random(1)
    events, table = tmp_path / "events.ndjson", tmp_path / "accounts.csv"
    events.write_text("\n".join(events_of(chance, 400)))
    table.write_text(table_of(chance, [f"new{place}" for place in range(15)]))
    for name in ("new2", "new3"):  # older events of theirs come too late for the rules in force
        assert client.put(f"/v1/accounts/{name}", json={"attributes": {"arr": 70000}}).status_code == 202
    before = everything(client)
    wanted = foreseen([table, events], historical=True)
    assert all(not fires for fires, _, _ in wanted.values())
    assert all(holds for _, _, holds in wanted.values())
    assert everything(client) == before

    assert called(table, events, "--historical")[0] == 0
    settled(client)
    for rule, (_, _, holds) in wanted.items():
        assert subjects(client, f"/v1/rules/{rule}/matches") == holds, rule
        assert subjects(client, "/v1/triggers", rule=rule) == set()

    for number in range(3):
        table.write_text(table_of(chance, [f"new{place}" for place in range(5, 22)]))
        had = {
            rule: len(client.get("/v1/triggers", params={"rule": rule, "limit": 1_000}).json()["items"])
            for rule in wanted
        }
        wanted = foreseen([table], historical=False)
        assert called(table)[0] == 0
        settled(client)
        for rule in ("pro", "once", "eu"):
            items = client.get("/v1/triggers", params={"rule": rule, "limit": 1_000}).json()["items"]
            fresh = {(one["account"], one["contact"], one["key"]) for one in items[: len(items) - had[rule]]}
            assert fresh == wanted[rule][0], (rule, number)
        for rule in ("pro", "once", "renewal"):
            assert subjects(client, f"/v1/rules/{rule}/matches") >= wanted[rule][2], rule
    assert wanted["once"][1]  # somebody was in the cooldown that never ends


def test_it_says_who_is_new_who_changes_and_how(client: httpx.Client, tmp_path: Path) -> None:
    known = {
        "name": "Acme",
        "attributes": {"arr": 10, "plan": "free"},
        "owner": {"name": "Jo", "email": "jo@us.test"},
    }
    assert client.put("/v1/accounts/acme", json=known).status_code == 202
    assert client.put("/v1/accounts/same", json={"name": "Same"}).status_code == 202
    assert client.post("/v1/suppressions", json={"address": "ann@acme.test"}).status_code == 201
    before = everything(client)
    accounts, addresses, events = tmp_path / "accounts.csv", tmp_path / "s.csv", tmp_path / "e.ndjson"
    accounts.write_text(
        "id,name,attributes.arr,attributes.plan,owner.email\nacme,,60000,pro,\nsame,Same,,,\nfresh,Fresh,,,\nbad,,,,nobody\n"
    )
    addresses.write_text("address\nANN@acme.test\nbo@acme.test\nbo@acme.test\nnobody\n")
    events.write_text('{"type": "login", "account": "acme"}\n{"type": "touchline.x", "account": "acme"}\n')
    status, out, said = called(accounts, addresses, events, "--live", "--dry-run")
    assert status == 1
    assert f"{addresses}: 1 new, 2 suppressed already; 1 line would not be taken\n" in out
    assert f"{events}: 1 event of 1 account; live, rules fire at them; 1 line would not be taken\n" in out
    assert f"{accounts}: 1 new account, 1 changed, 1 row without news; 1 line would not be taken\n" in out
    assert '  acme: attributes.arr 10 → 60000, attributes.plan "free" → "pro"\n' in out
    assert "  tech → high: 1 (acme)\n" in out
    assert "  new, tech: 1 (fresh)\n" in out
    assert "  pro\n    would fire for 1 (acme)\n" in out
    assert out.endswith("nothing was sent or stored\n")
    assert f"{events}:2: type: types under touchline. come only from Touchline\n" in said
    assert f"{accounts}:5: owner.email: should be an email address" in said
    assert f"{addresses}:5: address: " in said
    assert everything(client) == before


def test_rules_that_are_only_files_are_judged_in_the_order_of_time(
    client: httpx.Client, tmp_path: Path
) -> None:
    rule, events = tmp_path / "rule.yaml", tmp_path / "events.ndjson"
    rule.write_text("kind: rule\nname: two\nwhen: {threshold: {event: e, within: 30d, at_least: 2}}\n")
    newest_first = [json.dumps({"type": "e", "account": "mixed", "time": ago(days)}) for days in (1, 12)]
    events.write_text("\n".join(newest_first))
    status, out, _ = called(events, "--historical", "--dry-run", "--rules", rule)
    assert (status, "  two\n    would hold afterwards for 1 (mixed)\n" in out) == (0, True)
    status, out, _ = called(events, "--historical", "--dry-run")
    assert (status, "1 event more than 7 days behind the newest of the account" in out) == (0, True)
    rule.write_text("kind: rule\nname: two\n")
    status, out, said = called(events, "--historical", "--dry-run", "--rules", rule)
    assert (status, out) == (2, "")
    assert f"{rule}:1: rule two: when: is required" in said


def test_after_an_import_it_says_for_whom_rules_hold(client: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "accounts.csv"
    file.write_text("id,attributes.plan\nlast,pro\n")
    status, out, _ = called(file, "--historical")
    assert status == 0
    found = subjects(client, "/v1/rules/pro/matches")
    assert ("last", None, None) in found
    assert "rules that hold now:\n" in out
    assert f"  pro: {len(found)} (" in out
