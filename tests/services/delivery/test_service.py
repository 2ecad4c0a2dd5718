"""The whole actions service: a trigger on the log becomes a mail, a signed webhook and a task; people unsubscribe."""

import asyncio
import email
import email.policy
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook

from backbone.clock import WallClock
from backbone.database import Database
from backbone.log import EVENTS, TRIGGERS, Entry
from backbone.log.embedded.log import EmbeddedLog
from backbone.settings import Settings
from backbone.web.api_keys import create_key
from backbone.web.app import create_app
from schemas.event import Event, encode
from schemas.trigger import Position, Progress, TriggerRecord
from services.actions.channels.base import ChannelTrouble
from services.actions.service import ActionsService
from tests.migrated import migrated
from tests.services.actions.kit import _json
from tests.unit.channels.helpers import SECRET, Server
from tests.unit.channels.test_webhook import Scripted
from tests.unit.plays.kit import account, trigger

TEMPLATE = {
    "name": "hello",
    "subject": "Invoice {{ trigger.event.data.invoice }}",
    "markdown": "Hi {{ contact.name or contact.email }},\n\n**{{ account.name }}** owes us"
    " *{{ trigger.event.data.invoice }}*.",
}
PLAYBOOK = {
    "name": "book",
    "topic": "billing",
    "steps": [
        {"email": {"template": "hello"}},
        {"webhook": {"endpoint": "crm", "body": {"account": "{{ account.id }}"}}},
        {"task": {"title": "Call {{ account.name }}"}},
    ],
}


class Running:
    """The service with its threads, a client, and an HTTP server that gets the webhooks."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder = folder
        self.hooks = Scripted()
        self._loop = asyncio.new_event_loop()
        self._server = Server(self.hooks)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.__aenter__(), self._loop).result(10)
        self.db = Database(f"sqlite:///{folder / 'touchline.db'}")
        migrated(self.db)
        self.log = EmbeddedLog(folder, 2)
        settings = Settings(
            data_dir=folder,
            webhook_allowed_networks="127.0.0.0/8",
            sender="Us <hello@us.test>",
            _env_file=None,
            **more,
        )  # type: ignore[call-arg]
        clock = WallClock()
        self.service = ActionsService(settings, self.db, self.log, clock)
        app = create_app(
            "t", settings=settings, db=self.db, log=self.log, clock=clock, services=[self.service]
        )
        key = create_key(self.db, clock, "tester", ["admin"])
        self.client = TestClient(
            app, headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=True
        )
        self.stranger = TestClient(app)
        self.service.start()

    def set_up(self) -> None:
        url = f"http://127.0.0.1:{self._server.port}/hook"
        documents: dict[str, dict[str, Any]] = {
            "templates": TEMPLATE, "endpoints": {"name": "crm", "url": url, "secret": SECRET}, "playbooks": PLAYBOOK,
        }  # fmt: skip
        for kind, doc in documents.items():
            assert self.client.post(f"/v1/{kind}", json=doc).status_code == 201

    def post(self, *events: Event) -> tuple[int, int]:
        entries = [Entry(key=one.account, value=encode(one)) for one in events]
        return self.log.append(EVENTS, entries).result(10)[-1]

    def fire(self, **fields: Any) -> None:
        """An account, and a trigger for it."""
        now = WallClock().now()
        place = self.post(account(now))
        made = trigger(now, place[1], **fields)
        made.position = Position(*place)
        records = [TriggerRecord(trigger=made), TriggerRecord(progress=Progress(place[0], place[1] + 1, 0))]
        self.log.append(
            TRIGGERS, [Entry(partition=place[0], value=_json(record)) for record in records]
        ).result(10)

    def actions(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.client.get("/v1/actions").json()["items"]
        return items

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline, self.actions()
            time.sleep(0.01)

    def mails(self) -> list[email.message.EmailMessage]:
        files = sorted((self.folder / "outbox").glob("*.eml"))
        return [email.message_from_bytes(one.read_bytes(), policy=email.policy.default) for one in files]

    def close(self) -> None:
        self.service.stop()
        asyncio.run_coroutine_threadsafe(self._server.__aexit__(), self._loop).result(10)
        self.log.close()
        self.db.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.close()


def test_what_keeps_a_channel_from_sending_is_in_the_status(running: Running) -> None:
    assert running.service.status()["trouble"] == []
    since = round(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 1_000_000
    running.service.delivery._channels["email"]._transport.trouble = ChannelTrouble(since, "greeting: 554")  # type: ignore[attr-defined]
    assert running.service.status()["trouble"] == [
        {"channel": "email", "since": "2026-01-02T03:04:05Z", "detail": "greeting: 554"}
    ]
    assert running.service.ready()


def test_a_trigger_becomes_a_mail_a_webhook_and_a_task(running: Running) -> None:
    running.set_up()
    running.fire()
    running.until(lambda: [one["status"] for one in running.actions()] == ["done"] * 3)
    (mail,) = running.mails()
    assert mail["Subject"] == "Invoice 88"
    assert (mail["From"], mail["To"], mail["Reply-To"]) == (
        "Jo <jo@us.test>",
        "ann@acme.test",
        "Jo <jo@us.test>",
    )
    text = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")  # type: ignore[union-attr]
    assert text.startswith(
        "Hi ann@acme.test,\n\nAcme owes us 88.\n\n-- \nSent by Jo (jo@us.test) to ann@acme.test"
    )
    headers, body = running.hooks.requests[0]
    assert Webhook(SECRET).verify(body, headers) == {"account": "acme"}
    ids = {one["channel"]: one["id"] for one in running.actions()}
    assert headers["webhook-id"] == ids["webhook"]
    assert mail["Message-ID"] == f"<{ids['email']}@us.test>"
    detail = running.client.get(f"/v1/actions/{ids['webhook']}").json()
    assert "200 ok" in str(detail)
    assert SECRET not in str(detail)


def test_unsubscribing_by_one_click_and_by_hand(running: Running) -> None:
    running.set_up()
    running.fire()
    running.until(lambda: len(running.mails()) == 1)
    (mail,) = running.mails()
    link = mail["List-Unsubscribe"].strip("<>")
    assert link in mail.get_body(("html",)).get_content().replace("&amp;", "&")  # type: ignore[union-attr]
    assert "ann" not in link
    path = link.removeprefix("http://127.0.0.1:8080")

    page = running.stranger.get(path)
    assert page.status_code == 200
    assert "ann@acme.test" in page.text
    assert "billing" in page.text
    assert page.headers["cache-control"] == "no-store"
    looked = running.stranger.head(path)
    assert (looked.status_code, looked.headers["content-type"]) == (200, page.headers["content-type"])
    assert running.stranger.head(path[:-1] + ("A" if path[-1] != "A" else "B")).status_code == 404
    assert running.client.get("/v1/suppressions").json()["items"] == []

    done = running.stranger.post(path, data={"List-Unsubscribe": "One-Click"})
    assert done.status_code == 200
    assert "You are unsubscribed" in done.text
    assert running.stranger.post(path, files={"List-Unsubscribe": (None, "One-Click")}).status_code == 200
    (kept,) = running.client.get("/v1/suppressions").json()["items"]
    assert (kept["address"], kept["topic"], kept["reason"]) == ("ann@acme.test", "billing", "unsubscribed")

    running.fire(key="other")
    running.until(lambda: any(one["reason"] == "suppressed" for one in running.actions()))
    assert len(running.mails()) == 1

    assert "no more mails from us" in running.stranger.post(path, data={"topics": "all"}).text
    topics = [one["topic"] for one in running.client.get("/v1/suppressions").json()["items"]]
    assert topics == [None, "billing"]
    running.until(lambda: _own(running).count("touchline.email.unsubscribed") == 2)


def _own(running: Running) -> list[str]:
    values = [record.value for p in range(2) for record in running.log.read(EVENTS, p, 0)]
    return re.findall(r"touchline\.[a-z.]+", b" ".join(values).decode())


@pytest.mark.parametrize("token", ["x", "preview", "%00", "é", "A" * 5000, "..", "<script>"])
def test_links_that_nobody_made(running: Running, token: str) -> None:
    for answer in (running.stranger.get(f"/u/{token}"), running.stranger.post(f"/u/{token}")):
        assert answer.status_code in ((200,) if token == "preview" else (400, 404))
        assert "<script>" not in answer.text
    assert running.client.get("/v1/suppressions").json()["items"] == []


def test_a_changed_token_is_no_token(running: Running) -> None:
    running.set_up()
    running.fire()
    running.until(lambda: len(running.mails()) == 1)
    token = running.mails()[0]["List-Unsubscribe"].strip("<>").rpartition("/")[2]
    for at in range(0, len(token), 7):
        other = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert running.stranger.get(f"/u/{other}").status_code == 404


def test_suppressions_over_the_api(running: Running) -> None:
    client = running.client
    made = client.post("/v1/suppressions", json={"address": "Ann@ACME.test", "topic": "billing"})
    assert (made.status_code, made.headers["location"]) == (201, "/v1/suppressions/ann%40acme.test")
    assert made.json()["address"] == "ann@acme.test"
    assert made.json()["reason"] == "by_hand"
    assert (
        client.post("/v1/suppressions", json={"address": "ann@acme.test", "topic": "billing"}).status_code
        == 200
    )
    assert client.post("/v1/suppressions", json={"address": "ann@acme.test"}).json()["topic"] is None
    found = client.get("/v1/suppressions", params={"address": " ANN@acme.test"}).json()["items"]
    assert [one["topic"] for one in found] == [None, "billing"]
    assert client.get("/v1/suppressions", params={"address": "bob@acme.test"}).json()["items"] == []
    client.post("/v1/suppressions", json={"address": "bob@acme.test"})
    client.post("/v1/suppressions", json={"address": "kim@acme.test"})
    several = {"address": ["bob@acme.test", "nobody@acme.test", "ANN@acme.test"]}
    found = client.get("/v1/suppressions", params={"address": several["address"]}).json()["items"]
    assert [one["address"] for one in found] == ["bob@acme.test", "ann@acme.test", "ann@acme.test"]
    assert client.delete("/v1/suppressions/ANN%40acme.test", params={"topic": "billing"}).status_code == 204
    assert client.delete("/v1/suppressions/ann%40acme.test").status_code == 204
    assert client.delete("/v1/suppressions/ann%40acme.test").status_code == 404
    for wrong in (
        {"address": "nobody"},
        {"address": "*@acme.test"},
        {"address": "a@b.test", "topic": ""},
        {"address": 1},
        {},
        {"address": "a@b.test", "x": 1},
    ):
        answer = client.post("/v1/suppressions", json=wrong)
        assert answer.status_code == 422, wrong
        assert answer.json()["errors"]
    once = {"Idempotency-Key": "k"}
    first = client.post("/v1/suppressions", json={"address": "c@d.test"}, headers=once)
    again = client.post("/v1/suppressions", json={"address": "c@d.test"}, headers=once)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"
    assert running.stranger.get("/v1/suppressions").status_code == 401


def test_a_preview(running: Running) -> None:
    running.set_up()
    running.fire()
    running.until(lambda: len(running.actions()) == 3)
    path = "/v1/templates/hello/preview"
    answer = running.client.post(
        path, json={"account": "acme", "trigger": {"event": {"data": {"invoice": "7"}}}}
    )
    assert answer.status_code == 200
    assert answer.json()["subject"] == "Invoice 7"
    assert answer.json()["text"].startswith("Hi ann@acme.test,")
    assert "http://127.0.0.1:8080/u/preview" in answer.json()["text"]
    for bob in ({"contact": "bob"}, {"contact": "bob", "trigger": None}):
        shown = running.client.post(path, json={"account": "acme", **bob})
        assert shown.status_code == 422  # the template asks for an invoice that no trigger gave
        assert shown.json()["errors"][0]["field"] == "subject"
    assert len(running.actions()) == 3
    for wrong, field in (
        ({"account": "nobody"}, "account"),
        ({"account": "acme", "contact": "nobody"}, "contact"),
        ({"account": "acme", "trigger": "trg_nobody"}, "trigger"),
        ({}, "account"),
    ):
        refused = running.client.post(path, json=wrong)
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert running.client.post("/v1/templates/none/preview", json={"account": "acme"}).status_code == 404


def test_a_template_is_checked_when_it_is_saved(running: Running) -> None:
    answer = running.client.post(
        "/v1/templates", json={"name": "t", "subject": "{{ acount.name }}", "markdown": "a\n{% if %}"}
    )
    assert answer.status_code == 422
    errors = {error["field"]: error["message"] for error in answer.json()["errors"]}
    assert errors["subject"].startswith("line 1: unknown name 'acount'")
    assert errors["markdown"].startswith("line 2: ")


def test_only_a_webhook_may_name_its_action(running: Running) -> None:
    mail = {"name": "t", "subject": "{{ action.id }}", "markdown": "{% set action = 1 %}{{ action }}"}
    steps = [
        {"task": {"title": "{{ action.id }}"}},
        {"webhook": {"endpoint": "e", "body": {"id": "{{ action.id }}"}}},
    ]
    playbook = {"name": "p", "steps": steps}
    for path, body, fields in (
        ("/v1/templates", mail, ["subject"]),
        ("/v1/templates/check", mail, ["subject"]),
        ("/v1/playbooks", playbook, ["steps.0.task.title"]),
    ):
        answer = running.client.post(path, json=body)
        errors = [one for one in answer.json()["errors"] if "action" in one["message"]]
        assert (answer.status_code, [one["field"] for one in errors]) == (422, fields), answer.text
    endpoint = {"name": "e", "url": "https://hooks.example/x", "body": {"id": "{{ action.id }}"}}
    assert running.client.post("/v1/endpoints", json=endpoint).status_code == 201


def test_erasure_leaves_only_the_hash(running: Running) -> None:
    running.set_up()
    running.fire()
    running.until(lambda: len(running.mails()) == 1)
    running.client.post("/v1/suppressions", json={"address": "ann@acme.test"})
    place = running.post(Event(type="account.deleted", id="gone", account="acme", time=datetime.now(UTC)))
    records = [TriggerRecord(progress=Progress(place[0], place[1] + 1, 0))]
    running.log.append(TRIGGERS, [Entry(partition=place[0], value=_json(one)) for one in records]).result(10)
    running.until(lambda: running.actions() == [])
    (kept,) = running.client.get("/v1/suppressions").json()["items"]
    assert kept["address"] is None
    link = running.mails()[0]["List-Unsubscribe"].strip("<>").removeprefix("http://127.0.0.1:8080")
    assert "You get no more mails" in running.stranger.post(link).text
