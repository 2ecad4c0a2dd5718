"""`/v1/rehearsals`: what it takes and refuses, and what it leaves alone."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from backbone.log import EVENTS, TRIGGERS, partition_for
from backbone.settings import load_settings
from backbone.tables import jobs
from backbone.web.api_keys import create_key
from schemas.rehearsal import RehearsalOut
from services.actions import tables
from services.app import Runtime, running
from tests.e2e.stack import until

PARTITIONS = 2
DAY = "2026-01-01"
CONTACTS = [{"id": "ann", "email": "ann@acme.test"}, {"id": "bob", "email": "bob@acme.test"}]
BOOK: dict[str, Any] = {
    "name": "book",
    "topic": "news",
    "exit_when": {"event": "paid"},
    "steps": {
        "low": [{"email": {"template": "hello", "to": "all"}}, {"wait": "2d"}, {"task": {"title": "Call"}}],
        "high": [{"webhook": {"endpoint": "crm"}}],
    },
}
HELLO = {
    "name": "hello",
    "subject": "Hi {{ contact.id }}",
    "markdown": "You have {{ account.attributes.seats }} seats",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, httpx.Client]]:
    folder = tmp_path_factory.mktemp("rehearsals")
    settings = load_settings(data_dir=folder, port=0, partitions=PARTITIONS, clock="log")
    with running(settings) as (rooms, url):
        key = (folder / "admin.key").read_text().strip()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            fill(client)
            yield rooms, client


def fill(client: httpx.Client) -> None:
    """Three accounts, one of which cannot get the mail, and one of which is erased."""
    client.post("/v1/templates", json=HELLO).raise_for_status()
    client.post("/v1/suppressions", json={"address": "BOB@acme.test", "topic": "news"}).raise_for_status()
    sent: list[dict[str, Any]] = [
        {
            "type": "account.updated", "account": name, "time": f"{DAY}T00:00:00Z", "id": f"u-{name}",
            "data": {"contacts": CONTACTS, "attributes": {"seats": 4} if name != "bare" else {}},
        }
        for name in ("acme", "bare", "gone")
    ]  # fmt: skip
    sent += [
        {"type": "it", "account": name, "time": f"{DAY}T01:00:00Z", "id": "it"}
        for name in ("acme", "bare", "gone")
    ]
    sent += [{"type": "paid", "account": "bare", "time": "2026-01-02T00:00:00Z", "id": "paid"}]
    sent += [{"type": "account.deleted", "account": "gone", "time": "2026-01-02T01:00:00Z", "id": "del"}]
    client.post("/v1/events", json=sent).raise_for_status()
    until("all is applied", lambda: client.get("/v1/status").json()["idle"])


def trigger(account: str = "acme", **fields: Any) -> dict[str, Any]:
    partition = partition_for(account, PARTITIONS)
    same = [name for name in ("acme", "bare", "gone") if partition_for(name, PARTITIONS) == partition]
    offset = len(same) + same.index(account) if account in same else 9
    return {
        "id": f"trg_{account}", "rule": "r", "rule_version": 1, "account": account, "tier": "low",
        "at": f"{DAY}T01:00:00Z", "event_id": "it", "reason": "threshold_reached",
        "position": {"partition": partition, "offset": offset}, "sentence": "as GET shows it", **fields,
    }  # fmt: skip


def body(**fields: Any) -> dict[str, Any]:
    return {"playbook": BOOK, "triggers": [trigger()], "endpoints": ["crm"], **fields}


def done(client: httpx.Client, given: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/v1/rehearsals", json=given)
    assert answer.status_code == 202, answer.text
    RehearsalOut.model_validate(answer.json())
    place = f"/v1/rehearsals/{answer.json()['id']}"
    assert answer.headers["location"] == place
    until("it is done", lambda: client.get(place).json()["status"] not in {"queued", "running"}, 60)
    found: dict[str, Any] = client.get(place).json()
    RehearsalOut.model_validate(found)
    assert found["status"] == "done", found
    return found


def rows(rooms: Runtime) -> list[Any]:
    """Everything but jobs that a rehearsal might touch."""
    of = (tables.plays, tables.actions, tables.tasks, tables.suppressions, tables.accounts, tables.outbox)
    with rooms.db.read() as conn:
        kept = [[tuple(row) for row in conn.execute(select(table))] for table in of]
    return [*kept, rooms.log.end_offsets(EVENTS), rooms.log.end_offsets(TRIGGERS)]


def test_what_it_says_and_that_it_touches_nothing(house: tuple[Runtime, httpx.Client]) -> None:
    rooms, client = house
    before = rows(rooms)
    triggers = [trigger(), trigger("bare"), trigger("gone")]
    found = done(client, body(triggers=triggers, until="2026-01-09T00:00:00Z"))
    assert rows(rooms) == before
    assert not list(rooms.settings.data_dir.rglob("*.eml"))

    assert (found["progress"], found["playbook"], found["until"]) == (1.0, "book", "2026-01-09T00:00:00Z")
    assert found["plays"] == 2  # the erased one is passed over
    assert +Counter(found["by_status"]) == {"finished": 1, "exited": 1}
    assert found["actions"] == {"email": 1, "task": 1, "webhook": 0}
    assert found["skipped"] == {"suppressed": 1}
    assert found["by_day"] == [
        {"day": "2026-01-01", "email": 1, "task": 0, "webhook": 0},
        {"day": "2026-01-03", "email": 0, "task": 1, "webhook": 0},
    ]
    busiest = [{"recipient": "ann@acme.test", "emails": 1}]
    assert found["recipients"] == {"people": 1, "most": 1, "p95": 1, "busiest": busiest}
    assert [one["tasks"] for one in found["assignees"]] == [1]
    assert [(one["account"], one["step"]) for one in found["errors"]] == [("bare", "0")]
    assert "seats" in found["errors"][0]["message"]
    sample = found["samples"][0]
    assert (sample["account"], sample["recipient"], sample["subject"]) == ("acme", "ann@acme.test", "Hi ann")
    assert "You have 4 seats" in sample["text"]
    assert "/u/preview" in sample["html"]


def test_a_policy_is_tried_or_the_one_in_force_holds(house: tuple[Runtime, httpx.Client]) -> None:
    _, client = house
    asked = body(policy={"caps": [{"at_most": 0, "within": "1d"}], "wait_at_most": "1h"})
    found = done(client, asked)
    assert found["actions"]["email"] == 0
    assert found["skipped"]["capped"] >= 1
    client.put("/v1/policy", json=asked["policy"]).raise_for_status()
    assert done(client, body())["skipped"] == found["skipped"]
    client.put("/v1/policy", json={}).raise_for_status()
    assert done(client, body())["actions"]["email"] >= 1


def test_a_saved_playbook_by_its_name_and_templates_that_are_not_saved(
    house: tuple[Runtime, httpx.Client],
) -> None:
    _, client = house
    saved = {**BOOK, "name": "saved", "steps": [{"email": {"template": "hello"}}]}
    client.put("/v1/playbooks/saved", json=saved).raise_for_status()
    found = done(client, {"playbook": "saved", "triggers": [trigger()]})
    assert found["samples"][0]["subject"] == "Hi ann"
    found = done(
        client, {"playbook": "saved", "triggers": [trigger()], "templates": [{**HELLO, "subject": "New"}]}
    )
    assert found["samples"][0]["subject"] == "New"
    assert client.post("/v1/rehearsals", json={"playbook": "none", "triggers": []}).status_code == 404


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (body(policy={"caps": [{"at_most": -1, "within": "1d"}]}), "policy.caps.0.at_most"),
        (body(endpoints=[]), "playbook.steps.high.0.webhook.endpoint"),
        (
            body(playbook={**BOOK, "steps": [{"email": {"template": "other"}}]}),
            "playbook.steps.0.email.template",
        ),
        (body(playbook={**BOOK, "steps": [{"task": {"title": "{{ oops"}}]}), "playbook.steps.0.task.title"),
        (body(templates=[{**HELLO, "markdown": "{% if %}"}]), "templates.0.markdown"),
        (body(playbook={"name": "book"}), "playbook.steps"),
        (body(until="tomorrow"), "until"),
        (body(more=1), "more"),
        (body(triggers={}), "triggers"),
        (body(triggers=[trigger()] * 10_001), "triggers"),
        (body(triggers=[trigger(), 7]), "triggers.1"),
        (body(triggers=[trigger(tier=None)]), "triggers.0.tier"),
        (body(triggers=[trigger(tier="vip")]), "triggers.0.tier"),
        (body(triggers=[trigger(at="2026-01-01T00:00:00")]), "triggers.0.at"),
        (body(triggers=[trigger(at="9999-12-31T23:59:59-14:00")]), "triggers.0.at"),
        (body(triggers=[trigger(position={"partition": 0, "offset": -1})]), "triggers.0.position.offset"),
        (
            body(triggers=[trigger(position={"partition": 0, "offset": 1 << 63})]),
            "triggers.0.position.offset",
        ),
        (body(triggers=[trigger(value=1 << 64)]), "triggers.0"),
        (body(triggers=[trigger(scope="world")]), "triggers.0.scope"),
        (body(triggers=[trigger(colour="red")]), "triggers.0.colour"),
        (body(triggers=[trigger(position={"partition": 7, "offset": 0})]), "triggers.0.position.partition"),
        (body(triggers=[trigger(position={"offset": 0})]), "triggers.0.position.partition"),
        (body(triggers=[{k: v for k, v in trigger().items() if k != "account"}]), "triggers.0.account"),
        ({"playbook": BOOK}, "triggers"),
        ([], ""),
    ],
)
def test_refusals_name_the_field(house: tuple[Runtime, httpx.Client], given: Any, field: str) -> None:
    rooms, client = house
    with rooms.db.read() as conn:
        before = conn.scalar(select(func.count()).select_from(jobs))
    answer = client.post("/v1/rehearsals", json=given)
    assert answer.status_code == 422, answer.text
    assert field in {one["field"] for one in answer.json()["errors"]}, answer.text
    with rooms.db.read() as conn:
        assert conn.scalar(select(func.count()).select_from(jobs)) == before


def test_bodies_up_to_32_mib(house: tuple[Runtime, httpx.Client]) -> None:
    _, client = house
    event = {
        "id": "it",
        "source": "t",
        "type": "it",
        "time": f"{DAY}T01:00:00Z",
        "data": {"text": "x" * 3_000},
    }
    large = body(triggers=[trigger(id=f"trg_{n}", key=str(n), event=event) for n in range(9_000)])
    text = json.dumps(large).encode()
    assert 25 << 20 < len(text) < 32 << 20
    answer = client.post("/v1/rehearsals", content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 202, answer.text
    client.delete(answer.headers["location"]).raise_for_status()
    assert client.get(answer.headers["location"]).status_code == 404
    more = gzip.compress(text + b" " * (8 << 20))
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert client.post("/v1/rehearsals", content=more, headers=headers).status_code == 413
    assert client.post("/v1/playbooks", content=text).status_code == 413  # other bodies are as small as ever
    for wrong in (b'{"playbook": {', b"[" * 100_000, b'{"playbook": "\\u0000"}', b'{"triggers": [NaN]}'):
        assert client.post("/v1/rehearsals", content=wrong).status_code == 400


def test_an_idempotency_key_makes_one(house: tuple[Runtime, httpx.Client]) -> None:
    _, client = house
    twice = [
        client.post("/v1/rehearsals", json=body(), headers={"idempotency-key": "k"}).json() for _ in "12"
    ]
    assert twice[0]["id"] == twice[1]["id"]
    assert twice[0]["id"] in [one["id"] for one in client.get("/v1/rehearsals").json()["items"]]
    client.delete(f"/v1/rehearsals/{twice[0]['id']}").raise_for_status()


def test_whom_it_takes(house: tuple[Runtime, httpx.Client]) -> None:
    rooms, client = house
    for scope, status in (("actions:read", 202), ("actions:write", 403), ("rules:read", 403)):
        key = create_key(rooms.db, rooms.clock, f"key {scope}", [scope])
        headers = {"authorization": f"Bearer {key}"}
        answer = client.post("/v1/rehearsals", json=body(triggers=[]), headers=headers)
        assert answer.status_code == status, answer.text
        if status == 202:
            until(
                "it is done",
                lambda: client.get(answer.headers["location"]).json()["status"] == "done",  # noqa: B023
                60,
            )
