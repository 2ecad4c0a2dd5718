"""`touchline backtest` against a server: files that are not saved, its drawing, its JSON and its exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from backbone.jobs import runner
from backbone.settings import load_settings
from services.app import running
from services.cli.main import app

RULE = """\
kind: rule
name: busy
when:
  threshold: {event: login, within: 7d, at_least: {high: 2, tech: 3}}
---
kind: tiers
tiers:
  - {tier: high, where: {account.id: acme}}
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "NICENESS", 1)
        settings = load_settings(data_dir=tmp_path_factory.mktemp("data"), port=0, partitions=1, clock="log")
        with running(settings) as (rooms, url):
            patch.setenv("TOUCHLINE_URL", url)
            patch.setenv("TOUCHLINE_API_KEY", str(rooms.new_admin_key))
            headers = {"authorization": f"Bearer {rooms.new_admin_key}"}
            with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
                events = [
                    {
                        "id": f"{name}{day}",
                        "type": "login",
                        "account": name,
                        "time": f"2026-03-{day:02d}T09:00:00Z",
                    }
                    for day in range(1, 6)
                    for name in ("acme", "beta")
                ]
                assert client.post("/v1/events", json=events).status_code == 202
                yield client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "busy.yaml"
    path.write_text(RULE)
    return path


def called(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["backtest", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_it_draws_when_and_who(client: httpx.Client, file: Path) -> None:
    status, text, said = called(
        file, "--vary", "cooldown=1d,once", "--vary", "when.threshold.at_least={high: 1}"
    )
    assert (status, said) == (0, "")
    assert "2 triggers for 2 subjects (1 high, 1 tech), of 10 events of 2 accounts since 2026-03-01" in text
    assert "2026-03-02 █ 1" in text
    assert "once" in text
    assert "high: 1" in text
    assert client.get("/v1/rules").json()["items"] == []
    assert client.get("/v1/tiers").json()["version"] == 0


def test_as_json_it_gives_the_answers(client: httpx.Client, file: Path) -> None:
    status, text, _ = called(file, "--json", "--from", "2026-03-03T00:00:00Z")
    found = json.loads(text)
    assert status == 0
    assert found["rehearsals"] == []
    (one,) = found["backtests"]
    assert (one["status"], one["triggers"], one["by_tier"]["tech"]) == ("done", 1, 1)


PLAYBOOK = """\
---
kind: rule
name: login
playbook: greet
cooldown: 1d
when:
  threshold: {event: login, at_least: 1}
---
kind: playbook
name: greet
steps:
  high: [{task: {title: "Call {{ account.id }}", assignee: jo@us.test, key: "{{ trigger.id }}"}}]
  tech: [{email: {template: hello, to: team@us.test}}, {wait: 1d}, {webhook: {endpoint: crm}}]
---
kind: template
name: hello
subject: Hello from {{ account.id }}
markdown: "It has {{ account.attributes.seats }} seats."
---
kind: endpoint
name: crm
url: https://crm.test/
"""


def test_it_rehearses_the_playbooks_of_the_rules(client: httpx.Client, file: Path) -> None:
    fine = PLAYBOOK.replace("{{ account.attributes.seats }}", "many")
    file.write_text(RULE + fine)
    status, text, said = called(file, "--json")
    assert (status, said) == (0, "")
    (found,) = json.loads(text)["rehearsals"]
    assert (found["playbook"], found["plays"]) == ("greet", 10)
    assert found["actions"] == {"email": 5, "task": 5, "webhook": 4}
    assert found["errors"] == []

    status, text, said = called(file)
    assert (status, said) == (0, "")
    assert "10 plays (1 open, 9 finished): 5 mails, 5 tasks, 4 webhooks" in text
    assert "by day (UTC)   █ email  ▓ task  ░ webhook" in text
    assert "2026-03-02 █▓░ 3" in text
    assert "1 people get mails, one of them 5; 95 of 100 get at most 5" in text
    assert "jo@us.test" in text
    assert "Hello from beta" in text
    assert "It has many seats." in text
    assert client.get("/v1/playbooks").json()["items"] == client.get("/v1/tasks").json()["items"] == []


def test_what_would_fail_is_named(client: httpx.Client, file: Path) -> None:
    file.write_text(RULE + PLAYBOOK)
    status, text, _ = called(file)
    assert status == 0
    assert "fails beta, step 0:" in text
    assert "seats" in text

    file.write_text(RULE + PLAYBOOK.replace("template: hello", "template: hallo"))
    status, _, said = called(file)
    assert status == 2
    assert "busy.yaml:21: playbook greet: steps.tech.0.email.template: there is no template" in said.replace(
        "\n", ""
    )
    file.write_text(RULE + PLAYBOOK.replace("{{ account.id }}\n", "{{ account.id\n"))
    status, _, said = called(file)
    assert status == 2
    assert "template hello: subject" in said.replace("\n", "")


def test_a_playbook_that_is_nowhere_has_no_rehearsal(client: httpx.Client, file: Path) -> None:
    file.write_text(PLAYBOOK[: PLAYBOOK.index("---\nkind: playbook")].removeprefix("---\n"))
    status, text, said = called(file, "--json")
    assert (status, json.loads(text)["rehearsals"]) == (0, [])
    assert "the playbook greet is in none of the files and not saved" in said.replace("\n", " ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "kind: rule\nname: busy\nwhen: {threshold: {event: login, at_leest: 3}}\n",
            "busy.yaml:3: rule busy: when",
        ),
        ("kind: rule\nname: [\n", "busy.yaml"),
        ("kind: tiers\ntiers: [{tier: high}]\n", "there is no rule in it"),
    ],
)
def test_a_wrong_file_is_2(client: httpx.Client, file: Path, text: str, said: str) -> None:
    file.write_text(text)
    status, _, error = called(file)
    assert status == 2
    assert said in error.replace("\n", "")


def test_everything_else_is_1(client: httpx.Client, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        ["--vary", "cooldown"],
        ["--vary", "nothing.at.all=1"],
        ["--against", "none"],
        ["--from", "soon"],
    ):
        done = CliRunner().invoke(app, ["backtest", str(file), *words])
        assert done.exit_code == 1, words
    monkeypatch.setenv("TOUCHLINE_URL", "http://127.0.0.1:9")
    assert called(file)[0] == 1
