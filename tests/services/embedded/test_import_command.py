"""`touchline import` against a server: what it takes and names, and runs that are interrupted."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from backbone.settings import load_settings
from services.app import running
from services.cli.main import app

COMMAND = [sys.executable, "-m", "services.cli.main", "import"]
RATE = 2_000  # events a second that a key may send
WAIT_S = 60.0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = load_settings(
        data_dir=tmp_path_factory.mktemp("data"), port=0, partitions=2, ingest_rate_limit=RATE
    )
    with pytest.MonkeyPatch.context() as patch, running(settings) as (rooms, url):
        patch.setenv("TOUCHLINE_URL", url)
        patch.setenv("TOUCHLINE_API_KEY", str(rooms.new_admin_key))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        headers = {"authorization": f"Bearer {rooms.new_admin_key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            yield client


def called(*words: object) -> tuple[int, str, str]:
    """Exit status, output but for the rules that hold now, and errors."""
    done = CliRunner().invoke(app, ["import", *map(str, words)])
    return done.exit_code, re.split("^(?:rules|no rule)", done.stdout, flags=re.MULTILINE)[0], done.stderr


def until(what: Callable[[], Any]) -> Any:
    """What becomes of a question once it is answered with yes."""
    end = time.monotonic() + WAIT_S
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def settled(client: httpx.Client) -> None:
    until(lambda: client.get("/v1/status").json()["services"]["rules"]["lag"] == 0)


def account(client: httpx.Client, name: str) -> dict[str, Any]:
    settled(client)
    found: dict[str, Any] = client.get(f"/v1/accounts/{name}").json()
    return found


EXCEL = (
    "\ufeffid;Name;ARR;owner.name;owner.email;contact.id;contact.email;contact.active;Notes\r\n"
    "acme;Acme GmbH;240000;Jo Doe;jo@us.test;ann;ann@acme.test;TRUE;x\r\n"
    'beta;"Beta\r\nInc.";240,000;;;;;;\r\n'
    ";Nameless;1;;;;;;\r\n"
    "gamma;Gamma;7;Kim;no address;;;;\r\n"
    "acme;;240;;;bo;bo@acme.test;;\r\n"
)
MAPS = ("--map", "Name=name", "--map", "ARR=attributes.arr", "--map", "Notes=")


def test_accounts_as_excel_writes_them(client: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "accounts.csv"
    file.write_text(EXCEL, newline="")
    status, out, said = called(file, *MAPS)
    assert (status, out) == (1, f"{file}: 3 rows of accounts taken, 2 lines not taken\n")
    assert f"error   {file}:5: id: is empty: every row needs the id of its account\n" in said
    assert f"error   {file}:6: owner.email: should be an email address" in said
    assert (
        "ARR (attributes.arr): '240,000' is text: should be a number such as 240000 or 19.5 (line 3)" in said
    )
    assert said.count("warning") == 1

    acme, beta = account(client, "acme"), account(client, "beta")
    assert (acme["name"], acme["attributes"]) == ("Acme GmbH", {"arr": 240})
    assert acme["owner"] == {"name": "Jo Doe", "email": "jo@us.test"}
    assert {one["id"]: (one["email"], one["active"]) for one in acme["contacts"]} == {
        "ann": ("ann@acme.test", True),
        "bo": ("bo@acme.test", True),
    }
    assert (beta["name"], beta["attributes"], beta["owner"]) == ("Beta\r\nInc.", {"arr": "240,000"}, None)
    assert client.get("/v1/accounts/gamma").status_code == 404


def test_again_what_is_known_is_not_sent_and_an_empty_cell_takes_nothing_away(
    client: httpx.Client, tmp_path: Path
) -> None:
    file = tmp_path / "again.csv"
    file.write_text("id,name,owner.name,owner.email,attributes.seats\nzeta,Zeta,Jo,jo@us.test,5\n")
    assert called(file)[:2] == (0, f"{file}: 1 row of accounts taken\n")
    before = account(client, "zeta")
    twice = tmp_path / "twice.csv"
    twice.write_text("id,name\neta,Eta\neta,Eta\n")  # the second row says what the first one did
    assert called(twice)[:2] == (0, f"{twice}: 1 row of accounts taken, 1 said nothing new\n")
    assert called(file)[:2] == (0, f"{file}: 0 rows of accounts taken, 1 said nothing new\n")
    file.write_text("id,name,owner.name,owner.email,attributes.seats\nzeta,,,jo@us.test,\n")
    assert called(file)[:2] == (0, f"{file}: 0 rows of accounts taken, 1 said nothing new\n")
    assert account(client, "zeta") == before
    file.write_text("id,name,owner.name,owner.email,attributes.seats\nzeta,,,kim@us.test,6\n")
    assert called(file)[0] == 0
    after = account(client, "zeta")
    assert (after["name"], after["attributes"]) == ("Zeta", {"seats": 6})
    assert after["owner"] == {"name": None, "email": "kim@us.test"}  # another person


@pytest.mark.parametrize(("words", "fired"), [((), 1), (("--historical",), 0)])
def test_an_import_fires_rules_unless_it_is_historical(
    client: httpx.Client, tmp_path: Path, words: tuple[str, ...], fired: int
) -> None:
    name = f"pro{len(words)}"
    rule = {"name": name, "when": {"becomes": {"is": {"account.attributes.plan": name}}}, "status": "active"}
    assert client.post("/v1/rules", json=rule).status_code == 201
    file = tmp_path / "plans.csv"
    file.write_text(f"id,attributes.plan\nof-{name},{name}\n")
    assert called(file, *words)[0] == 0
    assert account(client, f"of-{name}")["attributes"] == {"plan": name}
    assert len(client.get("/v1/triggers", params={"rule": name}).json()["items"]) == fired


def test_a_key_that_may_only_send_events_sends_every_row(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHLINE_DATA_DIR", str(tmp_path))
    key = client.post("/v1/keys", json={"name": "events", "scopes": ["events:write"]}).json()["key"]
    monkeypatch.setenv("TOUCHLINE_API_KEY", key)
    file = tmp_path / "a.csv"
    file.write_text("id,name\nkappa,Kappa\n")
    for _ in range(2):
        status, out, said = called(file)
        assert (status, out) == (0, f"{file}: 1 row of accounts taken\n")
        assert "this key may not read accounts (rules:read)" in said


def test_suppressions(client: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "suppressions.csv"
    file.write_text(
        "address,topic,reason\nAnn@Acme.test,,asked by phone\nbo@acme.test,news,\nnobody\n,news,\n*@x.test,,\n"
    )
    for _ in range(2):
        status, out, said = called(file)
        assert (status, out) == (1, f"{file}: 2 addresses taken, 3 lines not taken\n")
        assert f"{file}:4: has 1 cell, and the header 3\n" in said
        assert f"{file}:5: address: is empty: every row needs an address\n" in said
        assert f"{file}:6: address: should be one address: there are no wildcards" in said
    items = client.get("/v1/suppressions").json()["items"]
    assert {(one["address"], one["topic"], one["reason"]) for one in items} == {
        ("ann@acme.test", None, "asked by phone"),
        ("bo@acme.test", "news", "by_hand"),
    }


def lines(count: int, *, accounts: int = 7) -> list[str]:
    """Events without ids, in the order of their times; some say exactly the same."""
    chance = random.Random(16)
    return [
        json.dumps(
            {
                "type": "login",
                "account": f"user{chance.randrange(accounts)}",
                "time": f"2026-03-{1 + place * 20 // count:02d}T09:00:00Z",
                "data": {"page": chance.randrange(3), "of": "a text that makes the line a little longer" * 2},
            }
        )
        for place in range(count)
    ]


def counted(client: httpx.Client, names: Counter[str]) -> Counter[str]:
    """How many events a rule counts for each account."""
    settled(client)
    rule = "/v1/rules/logins/explain"
    return Counter({name: client.get(rule, params={"account": name}).json()["value"] for name in names})


def test_runs_that_are_interrupted_and_killed_double_nothing(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, then a kill, then a run to the end, of a file with a bad line that is then mended and moved."""
    state = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    many = {"event": "login", "at_least": 1_000_000}
    rule = {"name": "logins", "when": {"threshold": many}, "status": "active"}
    assert client.post("/v1/rules", json=rule).status_code == 201
    events = lines(6 * RATE)
    expected = Counter(json.loads(line)["account"] for line in events)
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(["{'type': 'login'}", *events]) + "\n")

    def offset() -> int:
        found = list(state.glob("**/*.json"))
        return json.loads(found[0].read_text())["place"]["offset"] if found else 0

    first = subprocess.Popen(
        [*COMMAND, file, "--historical"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore Ctrl-C, and tests may run there.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    until(offset)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=WAIT_S)
    assert first.returncode == 130
    assert "not finished" in said
    before = offset()
    assert 0 < before < file.stat().st_size
    second = subprocess.Popen([*COMMAND, file, "--historical"], stderr=subprocess.DEVNULL)
    until(lambda: offset() > before)
    second.kill()
    second.wait()
    assert offset() < file.stat().st_size
    assert sum(counted(client, expected).values()) < len(events)

    status, out, said = called(file, "--historical")
    assert status == 1
    assert "were taken by a run before, 1 line not taken" in out
    assert f"{file}:1: is not JSON" in said
    assert counted(client, expected) == expected
    assert called(file, "--historical")[:2] == (
        1,
        f"{file}: 0 events taken, {len(events):,} were taken by a run before, 1 line not taken\n",
    )

    moved = tmp_path / "moved.ndjson"
    mended = json.dumps({"type": "login", "account": "user0", "time": "2026-03-20T09:00:00Z"})
    moved.write_text("\n".join([mended, *events, events[-1]]))
    assert called(moved, "--historical")[0] == 0
    expected[json.loads(events[-1])["account"]] += 1  # grown by one, which says what another line says
    expected["user0"] += 1
    assert counted(client, expected) == expected


def test_events_need_to_be_of_the_past_or_of_now(client: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "now.ndjson"
    file.write_text('{"type": "login", "account": "now"}\n')
    status, _, said = called(file)
    assert status == 2
    assert "say --historical for events of the past, which fire no rules, or --live" in said
    assert client.get("/v1/accounts/now").status_code == 404
    status, out, said = called(file, "--live")
    assert (status, out) == (0, f"{file}: 1 event taken\n")
    assert "events without a time count as of now (line 1)" in said
    (event,) = (settled(client), client.get("/v1/accounts/now/events").json()["items"])[1]
    assert not event.get("historical")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("events.json", '[{"type": "login"}]', "is a JSON array, and should hold one event a line: jq"),
        ("events.ndjson", "", "is empty; it should hold one event in JSON a line"),
        ("accounts.csv", "id,ARR\nlost,1\n", "ARR is no path of an account"),
        ("none.csv", None, "there is no such file"),
    ],
)
def test_a_file_of_no_use_stops_all_of_them(
    client: httpx.Client, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / name
    good.write_text("id,name\nnever,Never\n")
    if text is not None:
        bad.write_text(text)
    status, out, err = called(good, bad, "--historical")
    assert (status, out) == (2, "")
    assert err.startswith(f"error   {bad}: ")
    assert said in err
    assert client.get("/v1/accounts/never").status_code == 404


def test_the_examples_can_be_imported(client: httpx.Client) -> None:
    folder = Path("examples/import")
    status, out, said = called(*sorted(folder.iterdir()), "--historical")
    assert (status, said) == (0, "")
    assert out.startswith(
        f"{folder}/suppressions.csv: 2 addresses taken\n{folder}/events.ndjson: 4 events taken\n"
        f"{folder}/accounts.csv: "
    )
