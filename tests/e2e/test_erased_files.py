"""Erasure, read back from the bytes: no table, mail file, journal or write-ahead file holds anything of the erased."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import MetaData, select

from tests.conftest import KafkaServer
from tests.e2e.server import running
from tests.e2e.stack import Stack, stacked

WITHIN_S = 60.0
SETTINGS = {
    "PARTITIONS": "2",
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    "SECRET_KEY": "a secret for tests only",
}
STEPS = [
    {"task": {"title": "Call {{ contact.name }}", "body": "{{ trigger.event.data.note }}"}},
    {"email": {"template": "hello", "to": "all"}},
    {"webhook": {"endpoint": "crm"}},
    {"wait": "30d"},
    {"task": {"title": "Again"}},
]
GO = {"threshold": {"event": "go", "at_least": 1}}
SILENT = {"absence": {"event": "back", "since": {"event": "go"}, "for": "30d"}}


OF_THE_CONTACT = ("person", "address", "name", "traits", "x")
# All words that are written about somebody, but for the account's id: the audit keeps that until its retention.
OF_THE_ACCOUNT = (*OF_THE_CONTACT, "company", "former", "note", "owner", "plan", "title")


def put(client: httpx.Client, path: str, **body: Any) -> None:
    client.put(path, json=body).raise_for_status()


def configure(client: httpx.Client) -> None:
    put(client, "/v1/endpoints/crm", url="http://127.0.0.1:9/")
    put(
        client,
        "/v1/templates/hello",
        subject="Hello {{ contact.name }}",
        markdown="{{ trigger.event.data.note }}",
    )
    put(client, "/v1/playbooks/touch", steps=STEPS)
    put(client, "/v1/rules/go", when=GO, playbook="touch", cooldown="0s", status="active")
    put(client, "/v1/rules/silent", when=SILENT, scope="contact", status="active")


def live(client: httpx.Client, who: str) -> None:
    """Everything that an account can leave behind; all of it named after `who`."""
    account, person = f"{who}-account", f"{who}-person"
    contacts = [
        {
            "id": person,
            "email": f"{who}-address@mail.example",
            "name": f"Ann {who}-name",
            "attributes": {"x": f"{who}-x"},
        },
        {"id": f"{who}-former", "email": f"{who}-former@mail.example"},
    ]
    owner = {"name": f"{who}-owner", "email": f"{who}-owner@us.test"}
    put(
        client,
        f"/v1/accounts/{account}",
        name=f"{who}-company",
        owner=owner,
        contacts=contacts,
        attributes={"a": f"{who}-a"},
    )
    event = {
        "type": "go",
        "account": account,
        "contact": person,
        "data": {"note": f"{who}-note", f"{who}@key": 1},
    }
    client.post("/v1/events", json=event).raise_for_status()
    auth = (client.headers["Authorization"].removeprefix("Bearer "), "")
    for path, body in (
        ("identify", {"userId": person, "traits": {"email": f"{who}-traits@mail.example"}}),
        ("group", {"userId": person, "groupId": account, "traits": {"plan": f"{who}-plan"}}),
    ):
        client.post(f"/v1/{path}", json=body | {"messageId": f"{who}-{path}"}, auth=auth).raise_for_status()
    for path, body in (
        ("suppressions", {"address": f"{who}-address@mail.example"}),
        ("tasks", {"account": account, "title": f"{who}-title", "assignee": "us@us.test"}),
    ):
        key = {"Idempotency-Key": f"{who}-key-{path}"}
        client.post(f"/v1/{path}", json=body, headers=key).raise_for_status()


def unsubscribe(client: httpx.Client, folder: Path, who: str) -> None:
    """By the link in one of the mails."""
    for mail in folder.glob("data/outbox/*.eml"):
        text = mail.read_text()
        if f"{who}-former@mail.example" in text:
            link = re.search(r"/u/([\w.~-]+)", text.replace("=\n", ""))
            assert link is not None
            client.post(f"/u/{link[1]}").raise_for_status()
            return
    raise AssertionError("there is no such mail")


def holding(folder: Path, word: str) -> list[str]:
    """The files that hold a word, but for the log, which its retention empties, and what the server says."""
    data = folder / "data"
    found = [path for path in data.rglob("*") if path.is_file() and not path.name.startswith("log.db")]
    return [str(path.relative_to(data)) for path in found if word.encode() in path.read_bytes()]


def none_within(seconds: float, look: Any) -> list[str]:
    """What is still found after so long; empty as soon as there is nothing."""
    deadline = time.monotonic() + seconds
    while found := look():
        if time.monotonic() > deadline:
            return list(found)
        time.sleep(0.2)
    return []


@pytest.mark.parametrize("gone", ["account", "contact"])
def test_no_file_holds_anything_of_the_erased(tmp_path: Path, gone: str) -> None:
    with running(tmp_path, **SETTINGS) as server, server.client() as client:
        configure(client)
        for who in ("canary", "keeper"):
            live(client, who)
        server.settle()
        unsubscribe(client, tmp_path, "canary")
        server.settle()
        words = [f"canary-{one}" for one in OF_THE_ACCOUNT if gone == "account" or one in OF_THE_CONTACT]
        assert all(holding(tmp_path, word) for word in words)
        erasure = {"type": f"{gone}.deleted", "account": "canary-account"}
        client.post(
            "/v1/events", json=erasure | ({"contact": "canary-person"} if gone == "contact" else {})
        ).raise_for_status()
        server.settle()
        for word in words:
            assert none_within(WITHIN_S, lambda word=word: holding(tmp_path, word)) == [], word
        assert "touchline.db" in holding(tmp_path, "keeper-note")
        assert any(name.startswith("outbox/") for name in holding(tmp_path, "keeper-note"))
        if gone == "contact":
            assert holding(tmp_path, "canary-former")
            assert client.get("/v1/accounts/canary-account").json()["name"] == "canary-company"
        assert client.get("/v1/suppressions", params={"address": "canary-address@mail.example"}).json()[
            "items"
        ]


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(300)
@pytest.mark.parametrize("gone", ["account", "contact"])
def test_no_table_holds_anything_of_the_erased(
    tmp_path: Path, kafka: KafkaServer, fresh_postgres_url: str, gone: str
) -> None:
    stack = Stack(tmp_path, kafka.bootstrap_servers, fresh_postgres_url, settings=SETTINGS)
    with stacked(stack), stack.client() as client:
        configure(client)
        for who in ("canary", "keeper"):
            live(client, who)
        stack.settle()
        assert {"rules_accounts", "actions_plays"} <= set(tables_with(stack, "canary"))
        read = {
            kind: client.get(f"/v1/export/{kind}").headers["next-cursor"] for kind in ("accounts", "plays")
        }
        erasure = {"type": f"{gone}.deleted", "account": "canary-account"}
        client.post(
            "/v1/events", json=erasure | ({"contact": "canary-person"} if gone == "contact" else {})
        ).raise_for_status()
        stack.settle()
        if gone == "account":  # whoever has read it hears its name from the log
            told = {
                kind: client.get(f"/v1/export/{kind}", params={"cursor": read[kind]}).text for kind in read
            }
            assert '"id":"canary-account","deleted":true' in told["accounts"]
            assert '"deleted":true' in told["plays"]
        words = [f"canary-{one}" for one in OF_THE_ACCOUNT if gone == "account" or one in OF_THE_CONTACT]
        for word in words:
            assert none_within(WITHIN_S, lambda word=word: tables_with(stack, word)) == [], word
        if gone == "account":
            by_id = none_within(
                WITHIN_S, lambda: set(tables_with(stack, "canary-account")) - {"backbone_audit"}
            )
            assert by_id == [], "the audit alone names the account"
        assert {"rules_accounts", "actions_plays", "actions_tasks"} <= set(tables_with(stack, "keeper"))


def tables_with(stack: Stack, word: str) -> list[str]:
    """The tables in which a word stands somewhere."""
    db = stack.open_database()
    try:
        return list(_tables_with(db, word))
    finally:
        db.close()


def _tables_with(db: Any, word: str) -> Iterator[str]:
    for schema in ("backbone", "ingest", "rules", "actions"):
        found = MetaData(schema=schema)
        found.reflect(db.engine)
        for table in found.sorted_tables:
            with db.read() as conn:
                if any(word in _text(value) for row in conn.execute(select(table)) for value in row):
                    yield table.name


def _text(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
