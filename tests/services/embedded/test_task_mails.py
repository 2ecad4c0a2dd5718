"""Mails about tasks over the API, on both stacks: who is told of which task, each morning, and what became of it."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from services.app import Runtime, running
from tests.e2e.stack import until

JSON = dict[str, Any]
TASK = {"title": "Call {{ account.name }}", "assignee": "owner", "due": "1d"}
BOOK = {"name": "book", "limit": None, "steps": [{"task": TASK}]}
RULE = {
    "name": "rule",
    "when": {"threshold": {"event": "go", "at_least": 1}},
    "cooldown": "0s",
    "playbook": "book",
}
MONDAY = "2026-11-30T"


class Desk:
    """A server with the log clock, and what it wrote to its outbox."""

    def __init__(self, rooms: Runtime, client: httpx.Client, folder: Path) -> None:
        self.rooms, self.client, self._outbox = rooms, client, folder / "outbox"

    def call(self, method: str, path: str, **more: Any) -> Any:
        answer = self.client.request(method, path, **more)
        assert answer.is_success, (method, path, answer.text)
        return answer.json() if answer.content else None

    def mails(self) -> list[email.message.EmailMessage]:
        files = sorted(self._outbox.glob("*.eml"))
        return [email.message_from_bytes(one.read_bytes(), policy=email.policy.default) for one in files]

    def told(self) -> list[tuple[str, str]]:
        return sorted((str(one["to"]), str(one["subject"])) for one in self.mails())

    def deliveries(self, **asked: str) -> list[JSON]:
        found: list[JSON] = self.call("GET", "/v1/task-mails/deliveries", params=asked)["items"]
        return found

    def go(self, account: str, time: str, owner: str) -> None:
        who = {"name": account.title(), "owner": {"name": "O", "email": owner}}
        update = {"type": "account.updated", "account": account, "time": time, "data": who}
        self.call("POST", "/v1/events", json=[update, {"type": "go", "account": account, "time": time}])

    def clock(self, time: str) -> None:
        self.call("POST", "/v1/clock", json={"time": time})

    def until(self, what: str, done: Any) -> None:
        until(what, done, 60)


@contextmanager
def desk(folder: Path, stores: JSON) -> Iterator[Desk]:
    settings = load_settings(data_dir=folder, port=0, partitions=2, clock="log", **stores)
    with running(settings) as (rooms, url):
        key = create_key(rooms.db, rooms.clock, "root", ["admin"])
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            made = Desk(rooms, client, folder)
            made.call("POST", "/v1/playbooks", json=BOOK)
            made.call("POST", "/v1/rules", json={**RULE, "status": "active"})
            yield made


def test_a_task_is_told_of_once_and_each_morning_after_it(tmp_path: Path, stores: JSON) -> None:
    with desk(tmp_path, stores) as made:
        made.clock(f"{MONDAY}05:00:00Z")
        made.go("early", f"{MONDAY}05:30:00Z", "jo@us.test")
        made.until("the task", lambda: len(made.call("GET", "/v1/tasks")["items"]) == 1)
        wanted = {"made": True, "morning": {"at": "08:00"}, "timezone": "Europe/Paris"}
        made.call("PUT", "/v1/task-mails", json=wanted)
        made.go("acme", f"{MONDAY}06:00:00Z", "jo@us.test")
        made.until("the mail", lambda: len(made.mails()) == 1)
        assert made.told() == [("jo@us.test", "Call Acme")]
        made.go("acme", f"{MONDAY}06:10:00Z", "jo@us.test")  # updates the same task
        made.go("acme", f"{MONDAY}06:20:00Z", "kim@us.test")  # which goes to the new owner
        made.until("the second mail", lambda: len(made.mails()) == 2)
        assert made.told() == [("jo@us.test", "Call Acme"), ("kim@us.test", "Call Acme")]
        body = next(one for one in made.mails() if one["to"] == "kim@us.test").get_body(("plain",))
        assert body is not None
        assert "handed over to you" in body.get_content()
        assert "Due: tomorrow, 07:20 (Europe/Paris)" in body.get_content()
        assert "The rule rule fired today, 07:20: its value was" in body.get_content()
        made.clock(f"{MONDAY}06:59:59Z")
        made.clock("2026-12-01T07:00:00Z")
        made.until("two mornings of both", lambda: len(made.deliveries(kind="morning", status="done")) == 4)
        assert [subject for to, subject in made.told() if to == "jo@us.test"] == [
            "Call Acme", "Your tasks: 1 due this week", "Your tasks: 1 overdue",
        ]  # fmt: skip
        (task,) = made.call("GET", "/v1/tasks", params={"account": "early"})["items"]
        of_task = made.deliveries(task=task["id"])
        assert [(one["kind"], one["moment"], one["tasks"]) for one in of_task] == [
            ("morning", "2026-12-01T07:00:00Z", [task["id"]]), ("morning", "2026-11-30T07:00:00Z", [task["id"]]),
        ]  # fmt: skip
        assert {one["reason"] for one in made.deliveries()} == {None}
        assert len(made.deliveries(assignee="KIM@us.test", kind="made")) == 1


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("desk"), {}) as made:
        made.clock(f"{MONDAY}05:00:00Z")
        yield made


def test_the_document_is_one_and_says_what_is_wrong(one: Desk) -> None:
    none = one.call("GET", "/v1/task-mails")
    assert (none["version"], none["made"], none["morning"], none["people"]) == (0, False, None, {})
    bad = {"made": "yes", "morning": {"at": "8", "day": []}, "people": {"kim@us.test": {"timezone": "Paris"}}}
    refused = one.client.put("/v1/task-mails", json=bad)
    assert refused.status_code == 422
    assert sorted(error["field"] for error in refused.json()["errors"]) == [
        "made", "morning.at", "morning.day", "people.kim@us.test.timezone",
    ]  # fmt: skip
    (error,) = one.client.put("/v1/task-mails", json={"people": {"kim": {}}}).json()["errors"]
    assert error["field"] == "people"
    assert "'kim'" in error["message"]
    doubted = one.call("POST", "/v1/task-mails/check", json={"people": {"kim@us.test": {}}})
    assert [each["field"] for each in doubted["warnings"]] == ["people"]
    made = one.call("PUT", "/v1/task-mails", json={"made": True})
    assert (made["version"], made["made"]) == (none["version"] + 1, True)
    (entry, *_) = one.call("GET", "/v1/audit", params={"object": "task-mails/task-mails"})["items"]
    assert (entry["method"], entry["after"]["made"]) == ("PUT", True)


def test_it_needs_the_scopes_of_actions(one: Desk) -> None:
    for scopes, read, write in ((["rules:read"], 403, 403), (["actions:read"], 200, 403)):
        key = one.call("POST", "/v1/keys", json={"name": scopes[0], "scopes": scopes})["key"]
        headers = {"authorization": f"Bearer {key}"}
        for path in ("/v1/task-mails", "/v1/task-mails/deliveries"):
            assert one.client.get(path, headers=headers).status_code == read
        assert one.client.put("/v1/task-mails", json={}, headers=headers).status_code == write
    assert one.client.get("/v1/task-mails/deliveries", params={"who": "x"}).status_code == 422


def test_who_does_it_to_themselves_is_not_told(one: Desk) -> None:
    one.call("PUT", "/v1/task-mails", json={"made": True})
    mine = {"name": "kim", "scopes": ["actions:write"], "email": "Kim@us.test"}
    headers = {"authorization": f"Bearer {one.call('POST', '/v1/keys', json=mine)['key']}"}
    task = one.call("POST", "/v1/tasks", json={"title": "x", "assignee": "kim@us.test"}, headers=headers)[
        "id"
    ]
    path = f"/v1/tasks/{task}/reassign"
    for to in ("lee@us.test", "Lee@us.test", "kim@us.test"):
        one.call("POST", path, json={"assignee": to}, headers=headers)
    one.call("POST", "/v1/tasks", json={"title": "other", "assignee": "kim@us.test"})
    one.until(
        "both mails",
        lambda: len(one.deliveries(assignee="kim@us.test")) == 1 == len(one.deliveries(task=task)),
    )
    assert {each["assignee"] for each in one.deliveries(task=task)} == {"lee@us.test"}
    one.until("their ends", lambda: all(each["status"] != "pending" for each in one.deliveries()))
    (lee,) = one.deliveries(task=task)
    assert (lee["status"], lee["reason"]) in {
        ("skipped", "nothing_left"),
        ("done", None),
    }  # it was taken back
    assert (lee["sentence"] is None) == (lee["status"] == "done")


def test_who_is_asked_to_approve_a_mail_is_told(one: Desk) -> None:
    one.call("PUT", "/v1/task-mails", json={"made": True})
    one.call("POST", "/v1/templates", json={"name": "offer", "subject": "Offer", "markdown": "x"})
    step = {"email": {"template": "offer", "approve": True, "to": "owner"}}
    one.call("PUT", "/v1/playbooks/book", json={**BOOK, "steps": [step]})
    one.go("umbrella", f"{MONDAY}05:40:00Z", "ann@us.test")
    one.until(
        "the mail", lambda: [each["status"] for each in one.deliveries(assignee="ann@us.test")] == ["done"]
    )
    (mail,) = [each for each in one.mails() if each["to"] == "ann@us.test"]
    body = mail.get_body(("plain",))
    assert body is not None
    assert "Nothing is sent before you decide" in body.get_content()
    assert "/deliveries/" in body.get_content()
