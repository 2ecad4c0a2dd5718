"""`touchline apply`, `export` and `test` as a person uses them, against a running server."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.json_schemas import KINDS
from tests.e2e.server import Server, running

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "playbooks"
TOUCHLINE = ROOT / ".venv" / "bin" / "touchline"

RULE = """\
kind: rule
name: spike
when:
  threshold:
    event: ticket.opened
    within: 30d
    at_least: {high: 3}
playbook: outreach
"""
PLAYBOOK = """\
kind: playbook
name: outreach
steps:
  high:
    - task: {title: "Call {{ account.name }}"}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("files")) as server:
        yield server


def touchline(server: Server, *words: str | Path) -> tuple[int, str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TOUCHLINE_")}
    environment |= {"TOUCHLINE_URL": server.url, "TOUCHLINE_API_KEY": server.key, "COLUMNS": "200"}
    done = subprocess.run(
        [str(TOUCHLINE), *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def words(said: str) -> Counter[str]:
    """How often each first word of a document's line stands there."""
    firsts = (line.split()[0] for line in said.splitlines() if line.strip())
    return Counter(first for first in firsts if first in {"created", "updated", "unchanged", "deleted"})


@pytest.mark.timeout(300)
def test_the_whole_library_there_and_back(server: Server, tmp_path: Path) -> None:
    status, said, wrong = touchline(server, "apply", LIBRARY)
    assert status == 0, wrong
    created = words(said)["created"]
    assert created > 100
    assert words(said).keys() == {"created"}
    assert said.splitlines()[-1].startswith(f"{created} created; ")
    assert said.count("shown this once: whsec_") == 1

    status, said, wrong = touchline(server, "apply", LIBRARY)
    assert (status, words(said)) == (0, Counter(unchanged=created)), said + wrong

    status, said, wrong = touchline(server, "export", tmp_path / "out")
    assert status == 0, wrong
    status, said, wrong = touchline(server, "apply", tmp_path / "out")
    assert (status, words(said)) == (0, Counter(unchanged=created)), said + wrong


def test_dry_run_shows_and_changes_nothing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        f"{RULE.replace('spike', 'dry')}---\n{PLAYBOOK.replace('outreach', 'dry-run')}"
    )
    status, said, wrong = touchline(server, "apply", "--dry-run", tmp_path)
    assert status == 0, wrong
    assert "+name: dry" in said
    with server.client() as client:
        assert client.get("/v1/rules/dry").status_code == 404
        assert client.get("/v1/playbooks/dry-run").status_code == 404

    assert touchline(server, "apply", tmp_path)[0] == 0
    text = (tmp_path / "all.yaml").read_text()
    (tmp_path / "all.yaml").write_text(text.replace("high: 3", "high: 4"))
    status, said, _ = touchline(server, "apply", "--dry-run", tmp_path)
    assert words(said)["updated"] == 1
    assert words(said)["unchanged"] == 1
    assert "-      high: 3" in said
    assert "+      high: 4" in said
    with server.client() as client:
        assert client.get("/v1/rules/dry").json()["version"] == 1


def test_nothing_is_applied_if_anything_is_invalid(server: Server, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(PLAYBOOK.replace("outreach", "never"))
    (tmp_path / "bad.yaml").write_text(RULE.replace("30d", "30 days").replace("spike", "never"))
    (tmp_path / "lost.yaml").write_text(
        "kind: playbook\nname: lost\nsteps:\n  - email:\n      template: nowhere\n"
    )
    status, _, wrong = touchline(server, "apply", tmp_path)
    assert status == 1
    assert f"{tmp_path}/bad.yaml:6: rule never: when.threshold.within:" in wrong
    (tmp_path / "bad.yaml").unlink()
    status, _, wrong = touchline(server, "apply", tmp_path)
    assert status == 1
    assert (
        f"{tmp_path}/lost.yaml:5: playbook lost: steps.0.email.template: there is no template nowhere"
        in wrong
    )
    with server.client() as client:
        assert client.get("/v1/playbooks/never").status_code == 404


def test_every_refusal_is_told_before_anything_is_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        "kind: template\nname: broken\nsubject: Hi\nmarkdown: |\n  Hello,\n  {{ account.name | nofilter }}\n---\n"
        + PLAYBOOK.replace("outreach", "broken").replace("account.name", "acount.name")
        + "    - webhook: {endpoint: nowhere}\n---\n"
        + RULE.replace("spike", "broken")
        + "backfill: true\n"
    )
    for words in (["apply", "--dry-run"], ["apply"]):
        status, said, wrong = touchline(server, *words, tmp_path)
        assert (status, said) == (1, "")
        assert f"{tmp_path}/all.yaml:6: template broken: markdown: line 2: " in wrong
        assert (
            f"{tmp_path}/all.yaml:12: playbook broken: steps.high.0.task.title: line 1: unknown name" in wrong
        )
        assert f"{tmp_path}/all.yaml:13: playbook broken: steps.high.1.webhook.endpoint: there is no" in wrong
        assert f"{tmp_path}/all.yaml:23: rule broken: backfill: goes with status active or shadow" in wrong
        assert "4 problem(s)" in wrong
    with server.client() as client:
        assert client.get("/v1/templates/broken").status_code == 404


def test_a_backfill_is_no_change(server: Server, tmp_path: Path) -> None:
    (tmp_path / "rule.yaml").write_text(RULE.replace("spike", "filled") + "status: active\nbackfill: true\n")
    assert words(touchline(server, "apply", tmp_path)[1]) == Counter(created=1)
    assert words(touchline(server, "apply", tmp_path)[1]) == Counter(unchanged=1)
    with server.client() as client:
        client.post("/v1/rules/filled/pause").raise_for_status()
    status, said, wrong = touchline(server, "apply", tmp_path)
    assert (status, words(said)) == (1, Counter())
    assert "rule filled: paused → active" in wrong
    with server.client() as client:
        assert client.get("/v1/rules/filled").json()["status"] == "paused"
    status, said, wrong = touchline(server, "apply", tmp_path, "--yes")
    assert (status, words(said)) == (0, Counter(updated=1))
    assert "updated   rule filled (paused → active)" in said


@pytest.mark.timeout(300)
def test_prune_and_an_export_of_every_kind(tmp_path: Path) -> None:
    """On a server of its own: what is deleted here would be missed elsewhere."""
    kinds = (
        RULE + "description: '08001'\nstatus: shadow\n---\n" + PLAYBOOK + "    - webhook: {endpoint: crm}\n"
        "    - email: {template: hello}\n---\n"
        'kind: template\nname: hello\nsubject: on\nmarkdown: "a\\tb\\u2028\\n\\n 08 \\n"\n---\n'
        "kind: endpoint\nname: crm\nurl: https://crm.test/in\n---\n"
        "kind: brand\nname: Acme\npostal_address: 1 Main Street\n---\n"
        "kind: policy\nhours: {from: '08:00', to: '18:00'}\n---\n"
        "kind: task-mails\nmade: true\n---\n"
        "kind: aliases\naliases: {signed_up: account.signed_up}\n---\n"
        "kind: source\nname: desk\nverify: {scheme: none}\n"
        "events: [{when: \"kind == '08'\", type: ticket.opened, account: {external_id: org}}]\n---\n"
        "kind: tiers\ntiers: [{tier: high, where: {account.attributes.code: '08'}}, {tier: tech}]\n"
    )
    assert set(re.findall(r"^kind: (\S+)$", kinds, re.MULTILINE)) == set(KINDS)
    files, more = tmp_path / "files", tmp_path / "more"
    for folder, text in (
        (files, kinds),
        (more, kinds.replace("spike", "other").replace("outreach", "others")),
    ):
        folder.mkdir()
        (folder / "all.yaml").write_text(text.replace("hello", f"hello-{folder.name}"))
    with running(tmp_path / "server") as server:
        assert touchline(server, "apply", files)[0] == touchline(server, "apply", more)[0] == 0
        status, said, wrong = touchline(server, "apply", files)
        assert (status, words(said)) == (0, Counter(unchanged=10)), wrong
        assert "  rule: other\n  playbook: others\n  template: hello-more\n" in said
        status, _, wrong = touchline(server, "apply", files, "--prune")
        assert (status, "deletes 1 playbooks: others" in wrong) == (1, True)
        status, said, wrong = touchline(server, "apply", files, "--prune", "--yes")
        assert (status, said.splitlines()[-1]) == (0, "10 unchanged, 3 deleted"), wrong
        status, said, wrong = touchline(server, "export", tmp_path / "out")
        assert (status, said) == (0, f"10 documents written to {tmp_path}/out\n"), wrong
    with running(tmp_path / "another") as server:
        status, said, wrong = touchline(server, "apply", tmp_path / "out")
        assert (status, words(said)) == (0, Counter(created=10)), wrong
        status, said, wrong = touchline(server, "apply", files)
        assert (status, words(said)) == (0, Counter(unchanged=10)), wrong


def test_files_are_held_against_what_the_server_has(server: Server, tmp_path: Path) -> None:
    rule, book = tmp_path / "rule.yaml", tmp_path / "book.yaml"
    rule.write_text(RULE.replace("spike", "held").replace("outreach", "held").replace("3}", "3, low: 4}"))
    book.write_text(PLAYBOOK.replace("outreach", "held"))
    assert touchline(server, "apply", book)[2] == ""
    status, _, wrong = touchline(server, "apply", rule, "--dry-run")
    told = (
        f"warning: {rule}:8: rule held: playbook: held has no steps for the tier low, which the rule covers"
    )
    assert (status, wrong.splitlines()[-1]) == (0, told)
    status, _, wrong = touchline(server, "apply", rule)
    assert (status, wrong.splitlines()[-1]) == (0, told)
    assert touchline(server, "apply", rule)[2] == "", "it is told once, when it is written"

    book.write_text(book.read_text() + "description: Changed\n")
    status, _, wrong = touchline(server, "apply", book)
    assert f"warning: {book}:3: playbook held: steps: the rule held covers the tier low" in wrong
    book.write_text(PLAYBOOK.replace("outreach", "held") + "  low: []\n")
    assert touchline(server, "apply", book)[2] == ""


def test_dry_run_warns_of_what_is_probably_wrong(server: Server, tmp_path: Path) -> None:
    events = [{"type": "login", "account": "a1", "data": {"device": "web"}}]
    with server.client() as client:
        client.put("/v1/accounts/a1", json={"tier": "low"}).raise_for_status()
        client.post("/v1/events", json=events).raise_for_status()
        server.settle()
        threshold = {"event": "login", "where": {"data.browser": "x"}, "within": "30d", "aggregate": "days"}
        doubtful = {"name": "x", "when": {"threshold": {**threshold, "at_least": {"high": 40, "low": 10}}}}
        answer = client.post("/v1/rules/check", json=doubtful)
        fields = {one["field"] for one in answer.json()["warnings"]}
        assert fields == {"when.threshold.where", "when.threshold.at_least.high"}
        fine = {
            "name": "x",
            "when": {"threshold": {"event": "login", "within": "30d", "at_least": {"low": 10}}},
        }
        assert client.post("/v1/rules/check", json=fine).json() == {"warnings": []}
    (tmp_path / "rule.yaml").write_text(RULE.replace("{high: 3}", "{high: 3, low: 4}") + "cooldown: 1d\n")
    (tmp_path / "book.yaml").write_text(PLAYBOOK + "    - wait: 2d\n    - email: {template: hello}\n")
    (tmp_path / "mail.yaml").write_text(
        "kind: template\nname: hello\nsubject: Hi\nmarkdown: 'About {{ trigger.key }} and {{ trigger.value }}'\n"
    )
    status, _, wrong = touchline(server, "apply", "--dry-run", tmp_path)
    assert status == 0
    assert "rule spike: when.threshold.event: no event of type ticket.opened has been seen" in wrong
    assert "book.yaml:3: playbook outreach: steps: the rule spike covers the tier low" in wrong
    assert "waits 2d, longer than spike cools down (1d)" in wrong
    assert "mail.yaml:4: template hello: markdown: trigger.key is empty when spike fires" in wrong
    assert "trigger.value" not in wrong


def test_scenarios_say_what_differs_and_exit_so(server: Server, tmp_path: Path) -> None:
    (tmp_path / "rule.yaml").write_text(RULE + "---\n" + PLAYBOOK)
    scenario = (
        "load: [rule.yaml]\naccounts:\n  acme: {tier: high, name: Acme, owner: {email: jo@us.test}}\nevents:\n"
        "  - {at: 2026-01-01T09:00:00Z, account: acme, type: ticket.opened, repeat: 3, every: 1d}\nexpect:\n"
        "  triggers: [{rule: spike, account: acme, at: 2026-01-03T09:00:00Z}]\n"
        '  actions: [{account: acme, channel: task, title: "Call Acme"}]\n'
    )
    test = tmp_path / "spike.test.yaml"
    test.write_text(scenario)
    assert touchline(server, "test", tmp_path)[0] == 0
    test.write_text(scenario.replace("repeat: 3", "repeat: 2"))
    status, said, _ = touchline(server, "test", test)
    assert status == 1
    assert "expected, did not come" in said
    assert "2 ticket.opened events in 30 days; 3 are needed for the high tier." in said
    test.write_text(scenario.replace("repeat: 3", "repeat: 6"))
    status, said, _ = touchline(server, "test", test)
    assert status == 0, "the cooldown holds the rest back"
    test.write_text(scenario.replace("Call Acme", "Phone Acme"))
    status, said, _ = touchline(server, "test", test)
    assert status == 1
    assert "came, not expected" in said
    test.write_text("load: [rule.yaml]\nexpects: {}\n")
    assert touchline(server, "test", test)[0] == 2
    test.write_text("{")
    assert touchline(server, "test", test)[0] == 2
