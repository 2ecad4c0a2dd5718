"""The sending policy over the API, by the wall clock and with the log clock: what waits, what is told, what ends it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.settings import load_settings
from services.app import running
from tests.e2e.stack import until

JSON = dict[str, Any]
STEPS = [{"email": {"template": "hello"}}]
BOOK = {"name": "book", "exit_when": {"event": "paid"}, "limit": None, "priority": 7, "steps": STEPS}
RULE = {
    "name": "rule",
    "when": {"threshold": {"event": "go", "at_least": 1}},
    "cooldown": "0s",
    "playbook": "book",
}


@pytest.fixture(params=["wall", "log"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    settings = load_settings(data_dir=tmp_path, port=0, partitions=2, clock=request.param)
    with running(settings) as (rooms, url):
        headers = {"authorization": f"Bearer {rooms.new_admin_key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as made:
            hello = {"name": "hello", "subject": "Hi", "markdown": "Hi"}
            for path, body in (
                ("templates", hello),
                ("playbooks", BOOK),
                ("rules", {**RULE, "status": "active"}),
            ):
                made.post(f"/v1/{path}", json=body).raise_for_status()
            yield made


def send(client: httpx.Client, *events: JSON) -> None:
    client.post("/v1/events", json=list(events)).raise_for_status()


def actions(client: httpx.Client, **wanted: str) -> list[JSON]:
    found: list[JSON] = client.get("/v1/actions", params=wanted).json()["items"]
    return found


def closed_now() -> JSON:
    """An hour that begins in two to three hours, by a clock of UTC; late in the evening that is one of tomorrow."""
    hour = (datetime.now(UTC) + timedelta(hours=3)).hour
    return {"hours": {"from": f"{hour:02}:00", "to": f"{hour + 1:02}:00"}}


def start_play(client: httpx.Client) -> str:
    """A play of an account with a contact; returns the time at which it began."""
    now = datetime.now(UTC).isoformat()
    person = {"id": "ann", "email": "ann@acme.test"}
    send(
        client,
        {"type": "account.updated", "account": "acme", "time": now, "data": {"contacts": [person]}},
        {"type": "go", "account": "acme", "time": now},
    )
    return now


def test_a_mail_waits_is_not_due_and_leaves_with_its_play(client: httpx.Client) -> None:
    client.put("/v1/policy", json=closed_now()).raise_for_status()
    now = start_play(client)
    until("it waits", lambda: actions(client, reason="quiet_hours"), 30)
    (mail,) = actions(client, reason="quiet_hours")
    assert (mail["status"], mail["begun_at"], mail["attempts"]) == ("pending", None, 0)
    assert mail["due_at"] < mail["next_look_at"]
    assert "hours" in mail["sentence"]
    until("nothing is due", lambda: client.get("/v1/status").json()["idle"], 30)
    assert client.get("/v1/status").json()["services"]["actions"]["due"] == 0
    assert [one["status"] for one in client.get("/v1/plays").json()["items"]] == ["finished"]
    told = 'touchline_mails_waiting{reason="quiet_hours"} 1.0'
    until("it is counted", lambda: told in client.get("/metrics").text, 30)

    send(client, {"type": "paid", "account": "acme", "time": now})
    until("it leaves", lambda: actions(client, status="skipped"), 30)
    (mail,) = actions(client)
    assert (mail["reason"], mail["next_look_at"], mail["begun_at"]) == ("play_exited", None, None)


def test_a_mail_behind_another_is_listed_too(client: httpx.Client) -> None:
    """When it is looked at next depends on the mail before it: nobody knows."""
    client.put("/v1/policy", json=closed_now()).raise_for_status()
    client.put("/v1/playbooks/book", json={**BOOK, "steps": STEPS * 2}).raise_for_status()
    start_play(client)
    until("it waits", lambda: actions(client, reason="behind"), 30)
    first, second = sorted(actions(client), key=lambda one: str(one["step"]))
    assert (first["reason"], second["reason"]) == ("quiet_hours", "behind")
    assert first["next_look_at"] is not None
    assert client.get(f"/v1/actions/{second['id']}").json()["reason"] == "behind"
    assert client.get(f"/v1/plays/{second['play']}").is_success
    client.post("/v1/playbooks/book/pause", json={}).raise_for_status()
    assert len(actions(client)) == 2


def test_a_cap_holds_over_accounts_and_counts_what_went_out_before(client: httpx.Client) -> None:
    now = datetime.now(UTC).isoformat()
    person = {"id": "ann", "email": "ann@acme.test"}
    names = ("acme", "best", "care")
    send(
        client,
        *(
            {"type": "account.updated", "account": name, "time": now, "data": {"contacts": [person]}}
            for name in names
        ),
    )
    send(client, {"type": "go", "account": "acme", "time": now})
    until("the first is out", lambda: actions(client, status="done"), 30)
    assert actions(client)[0]["begun_at"] is not None
    client.put("/v1/policy", json={"caps": [{"at_most": 2, "within": "7d"}]}).raise_for_status()
    for name in names[1:]:
        send(client, {"type": "go", "account": name, "time": now})
        until("it was looked at", lambda name=name: _settled(client, name), 30)
    assert sorted((one["status"], one["reason"]) for one in actions(client)) == [
        ("done", None), ("done", None), ("pending", "capped"),
    ]  # fmt: skip


def _settled(client: httpx.Client, account: str) -> bool:
    return any(one["status"] == "done" or one["reason"] for one in actions(client, account=account))
