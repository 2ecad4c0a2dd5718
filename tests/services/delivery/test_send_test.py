"""Test sends: a real mail of a real template, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from services.actions.api import send_test
from services.actions.channels.email.one_mail import send_one
from services.actions.plays.retry_policy import Outcome
from services.cli import main
from tests.services.delivery.test_service import Running
from tests.unit.channels.helpers import mail
from tests.unit.channels.peers import peer_of

PATH = "/v1/templates/hello/send-test"
WISH = {"to": "jo@us.test", "account": "acme", "trigger": {"event": {"data": {"invoice": "7"}}}}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all, which has sent a mail."""
    made = Running(tmp_path_factory.mktemp("send-test"))
    try:
        made.set_up()
        made.fire()
        made.until(lambda: len(made.mails()) == 1)
        yield made
    finally:
        made.close()


def others(running: Running) -> list[Any]:
    """All that a test send must not change."""
    client = running.client
    paths = ("/v1/actions", "/v1/plays", "/v1/tasks", "/v1/suppressions")
    return [client.get(path).json()["items"] for path in paths]


def test_it_goes_out_at_once_and_changes_nothing(running: Running) -> None:
    running.until(lambda: all(one["status"] == "done" for one in running.actions()))
    running.client.put("/v1/sending", json={"status": "off"})
    before, events = others(running), running.log.end_offsets("touchline.events")
    sent = running.client.post(PATH, json=WISH)
    assert sent.status_code == 200, sent.text
    assert sent.json()["subject"] == "Invoice 7"
    (made,) = [one for one in running.mails() if one["To"] == "jo@us.test"]
    assert made["Message-ID"] == sent.json()["message_id"]
    assert (made["Subject"], made["From"], made["Reply-To"]) == (
        "Invoice 7",
        "Jo <jo@us.test>",
        "Jo <jo@us.test>",
    )
    link = made["List-Unsubscribe"].strip("<>").rpartition("/")[2]
    for body in ({"List-Unsubscribe": "One-Click"}, {"topics": "all"}):
        page = running.stranger.post(f"/u/{link}", data=body)
        assert (page.status_code, "This was a preview" in page.text) == (200, True)
    assert others(running) == before
    assert running.log.end_offsets("touchline.events") == events
    running.client.put("/v1/sending", json={"status": "on"})


def test_whom_and_what_it_refuses(running: Running) -> None:
    client = running.client
    count = len(running.mails())
    for change, field in (
        ({"to": "nobody"}, "to"),
        ({"to": None}, "to"),
        ({"account": "nobody"}, "account"),
        ({"contact": "nobody"}, "contact"),
        ({"trigger": None}, "subject"),  # the template asks for an invoice
        ({"bcc": "x@us.test"}, "bcc"),
    ):
        refused = client.post(PATH, json=WISH | change)
        assert (refused.status_code, [one["field"] for one in refused.json()["errors"]]) == (422, [field])
    assert client.post("/v1/templates/none/send-test", json=WISH).status_code == 404
    client.post("/v1/suppressions", json={"address": "JO@us.test"})
    gone = client.post(PATH, json=WISH)
    assert (gone.status_code, gone.json()["code"]) == (409, "suppressed")
    client.delete("/v1/suppressions/jo@us.test")
    assert len(running.mails()) == count


def test_who_may_and_how_often(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_test, "send_one", lambda *_: Outcome(kind="done", detail="250 ok"))
    reader, writer = (
        {"Authorization": f"Bearer {create_key(running.db, running.service._clock, scope, [scope])}"}
        for scope in ("actions:read", "actions:write")
    )
    assert running.stranger.post(PATH, json=WISH).status_code == 401
    assert running.stranger.post(PATH, json=WISH, headers=reader).status_code == 403
    for _ in range(send_test.PER_MINUTE):
        assert running.stranger.post(PATH, json=WISH, headers=writer).status_code == 200
    late = running.stranger.post(PATH, json=WISH, headers=writer)
    assert late.status_code == 429
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert running.client.post(PATH, json=WISH).status_code == 200  # another key


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Outcome(kind="permanent", reason="bounced", detail="550 nobody here"), 502, "not_sent"),
        (Outcome(kind="temporary", reason="unreachable", detail="refused"), 502, "not_sent"),
        (Outcome(kind="uncertain", detail="gone"), 502, "not_sent"),
        (Outcome(kind="skipped", reason="not_on_list"), 409, "not_on_list"),
    ],
)
def test_how_it_ended_is_said(
    running: Running, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, status: int, code: str
) -> None:
    monkeypatch.setattr(send_test, "send_one", lambda *_: outcome)
    said = running.client.post(PATH, json=WISH)
    assert (said.status_code, said.json()["code"]) == (status, code)
    assert outcome.detail in said.json()["detail"]


def test_the_pace_forgets() -> None:
    pace = send_test.Pace()
    for second in range(200):
        pace.take("a", second * send_test.WINDOW_S / send_test.PER_MINUTE)


def test_the_command_sends_with_the_settings_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(address: str) -> tuple[int, str]:
        done = CliRunner().invoke(main.app, ["mail-test", address])
        return done.exit_code, done.output

    with peer_of("email") as server:
        monkeypatch.setenv("TOUCHLINE_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("TOUCHLINE_SMTP_URL", server.url)
        monkeypatch.setenv("TOUCHLINE_SENDER", "Us <hello@us.test>")
        code, said = run("ann@acme.test")
        assert (code, "sent: 250 taken" in said, server.taken()) == (0, True, 1)
        assert "from Us <hello@us.test> to ann@acme.test, through 127.0.0.1" in said
        assert not list(tmp_path.iterdir())  # no server of ours is needed, and nothing is kept
        server.refuse()
        code, said = run("ann@acme.test")
        assert (code, "not sent: 550 5.1.1 nobody here" in said) == (1, True)
        server.accept()
        monkeypatch.setenv("TOUCHLINE_MAIL_ONLY_TO", "us.test")
        code, said = run("ann@acme.test")
        assert (code, "MAIL_ONLY_TO" in said, server.taken()) == (1, True, 1)


def test_a_server_that_is_not_there_is_an_outcome(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, smtp_url="smtp://127.0.0.1:1")
    outcome = send_one(settings, "test-1", mail(to={"name": None, "email": "ann@acme.test"}), 0)
    assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")
