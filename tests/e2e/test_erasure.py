"""Erasure while everything is under way, on both stacks: nothing of the erased comes back by what Touchline does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import KafkaServer
from tests.e2e.server import items, running
from tests.e2e.stack import Stack, stacked, until

SETTINGS = {"CLOCK": "log", "PARTITIONS": "4", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
HELD, RACED, KEPT = (
    [f"{kind}-{n}" for n in range(count)] for kind, count in (("held", 4), ("raced", 20), ("kept", 2))
)
FIRST = "first"  # whose webhook is answered at once
STEPS = [
    {"task": {"title": "Call {{ account.id }}", "assignee": "us@us.test"}},
    {"email": {"template": "hello"}},
    {"webhook": {"endpoint": "crm", "body": {"who": "{{ account.id }}"}}},
    {"wait": "1d"},
    {"task": {"title": "Again", "key": "again", "assignee": "us@us.test"}},
]


def threshold(event: str, **more: Any) -> dict[str, Any]:
    return {"when": {"threshold": {"event": event, **({"at_least": 1} | more)}}, "cooldown": "0s"}


RULES: dict[str, dict[str, Any]] = {
    "go": threshold("go"),
    "finished": threshold("touchline.play.finished"),
    "delivered": threshold("touchline.webhook.delivered"),
    "mailed": threshold("touchline.email.sent") | {"scope": "contact"},
    "quiet": {"when": {"threshold": {"event": "login", "within": "2d", "below": 1}}},
}


class Sink:
    """A receiver that answers nobody until it is told to, but for the first: a stranger gets one at a time."""

    def __init__(self) -> None:
        self.came, self.go = threading.Semaphore(0), threading.Event()
        self.known = False
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if not sink.known:
                    self.send_response(204)
                    self.end_headers()
                    sink.known = True
                    return
                sink.came.release()
                sink.go.wait(60)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.go.set()
        self.server.shutdown()
        self.server.server_close()


Started = tuple[httpx.Client, Callable[[], None]]


@contextmanager
def embedded(folder: Path) -> Iterator[Started]:
    with running(folder, **SETTINGS) as server, server.client() as client:
        yield client, server.settle


@contextmanager
def apart(folder: Path, kafka: KafkaServer, database: str) -> Iterator[Started]:
    stack = Stack(folder, kafka.bootstrap_servers, database, settings=SETTINGS)
    with stacked(stack), stack.client() as client:
        yield client, stack.settle
        assert stack.surprises() == []


@pytest.fixture(params=["embedded", pytest.param("apart", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Started]:
    if request.param == "embedded":
        with embedded(tmp_path) as made:
            yield made
        return
    ask = request.getfixturevalue
    with apart(tmp_path, ask("kafka"), ask("fresh_postgres_url")) as made:
        yield made


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.close()


def put(client: httpx.Client, path: str, **body: Any) -> None:
    client.put(path, json=body).raise_for_status()


def configure(client: httpx.Client, sink: Sink) -> None:
    put(client, "/v1/endpoints/crm", url=sink.url)
    put(client, "/v1/templates/hello", subject="Hello", markdown="Hello")
    put(client, "/v1/playbooks/touch", steps=STEPS)
    put(
        client,
        "/v1/playbooks/short",
        steps=[{"task": {"title": "Ghost", "key": "g", "assignee": "us@us.test"}}],
    )
    for name, body in RULES.items():
        put(
            client,
            f"/v1/rules/{name}",
            playbook="touch" if name == "go" else "short",
            status="active",
            **body,
        )
    post(client, event("go", FIRST, "01T00:00:00"))
    until("the receiver is no stranger", lambda: sink.known)


def post(client: httpx.Client, *events: dict[str, Any]) -> None:
    client.post("/v1/events", json=list(events)).raise_for_status()


def event(type_: str, account: str, time: str, **more: Any) -> dict[str, Any]:
    return {"type": type_, "account": account, "time": f"2030-01-{time}Z", **more}


def known(account: str) -> dict[str, Any]:
    people = [{"id": name, "email": f"{name}@{account}.test"} for name in ("ann", "bob")]
    return event(
        "account.updated", account, "01T00:00:00", data={"name": account.title(), "contacts": people}
    )


def kept_of(client: httpx.Client, account: str) -> dict[str, list[str]]:
    lists = {
        path: items(client, f"/v1/{path}", account=account)
        for path in ("triggers", "plays", "actions", "tasks")
    }
    return {path: [one["id"] for one in found] for path, found in lists.items() if found}


@pytest.mark.timeout(400)
def test_an_erased_account_does_not_come_back(started: Started, sink: Sink) -> None:
    client, settle = started
    configure(client, sink)
    post(client, *(known(name) for name in (*HELD, *RACED, *KEPT)))
    post(client, *(event("go", name, "01T00:00:01", contact="ann") for name in (*HELD, *KEPT)))
    for _ in (*HELD, *KEPT):
        assert sink.came.acquire(timeout=60)
    post(client, *(event("account.deleted", name, "01T00:00:02") for name in HELD))
    for name in RACED:  # something happens, a play starts, and at once the person asks to be forgotten
        post(client, event("go", name, "01T00:00:02", contact="ann"))
        post(client, event("account.deleted", name, "01T00:00:03"))
    gone = [*HELD, *RACED]
    until("the erasures are carried out", lambda: all(_is_gone(client, name) for name in gone))
    sink.go.set()
    settle()
    client.post("/v1/clock", json={"time": "2030-01-20T00:00:00Z"}).raise_for_status()
    settle()
    assert [name for name in gone if not _is_gone(client, name)] == []
    assert {name: found for name in gone if (found := kept_of(client, name))} == {}
    assert {one["id"] for one in items(client, "/v1/accounts")} == {FIRST, *KEPT}

    for name in KEPT:  # the twin: all of it happens where nobody was erased
        rules = {one["rule"] for one in items(client, "/v1/triggers", account=name)}
        assert rules == {"go", "finished", "delivered", "mailed", "quiet"}
    post(client, event("go", HELD[0], "21T00:00:00"))
    settle()
    assert client.get(f"/v1/accounts/{HELD[0]}").json()["name"] is None
    assert [one["rule"] for one in items(client, "/v1/triggers", account=HELD[0])][-1:] == ["go"]


@pytest.mark.timeout(400)
def test_an_erased_contact_does_not_come_back(started: Started, sink: Sink) -> None:
    client, settle = started
    configure(client, sink)
    post(client, *(known(name) for name in (*HELD, *RACED[:5])))
    post(client, *(event("go", name, "01T00:00:01", contact="ann") for name in HELD))
    for _ in HELD:
        assert sink.came.acquire(timeout=60)
    for name in HELD:
        post(client, event("contact.deleted", name, "01T00:00:02", contact="ann"))
    for name in RACED[:5]:
        post(client, event("go", name, "01T00:00:02", contact="ann"))
        post(client, event("contact.deleted", name, "01T00:00:03", contact="ann"))
    names = [*HELD, *RACED[:5]]
    until("the erasures are carried out", lambda: all(_people(client, name) == ["bob"] for name in names))
    sink.go.set()
    settle()
    post(client, *(event("go", name, "02T00:00:00", contact="bob") for name in names))
    settle()
    for name in names:
        assert _people(client, name) == ["bob"]
        for path in ("triggers", "plays", "actions", "tasks"):
            assert {one["contact"] for one in items(client, f"/v1/{path}", account=name)} <= {"bob", None}, (
                path
            )
        assert "mailed" in {one["rule"] for one in items(client, "/v1/triggers", account=name)}


def _is_gone(client: httpx.Client, account: str) -> bool:
    return client.get(f"/v1/accounts/{account}").status_code == 404


def _people(client: httpx.Client, account: str) -> list[str]:
    return [contact["id"] for contact in client.get(f"/v1/accounts/{account}").json()["contacts"]]
