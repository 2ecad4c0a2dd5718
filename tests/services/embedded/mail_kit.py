"""A running Touchline whose mails are files, for tests of what comes back and of the page behind the links."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from services.app import Runtime, running

PATH = "/v1/mail/feedback/"
PATIENCE_S = 30.0
WHEN = {"threshold": {"event": "ticket.opened", "at_least": 1}}
STEPS: list[dict[str, Any]] = [
    {"email": {"template": "hello"}},
    {"wait": {"for": "30d", "until": {"event": ["touchline.email.bounced", "touchline.email.complained"]}}},
    {"task": {"title": "Ask for another address", "assignee": "jo@us.test"}},
]


class Server:
    """A running Touchline whose mails are files, and the questions that tests ask of it."""

    def __init__(self, rooms: Runtime, url: str) -> None:
        self.rooms, self.url = rooms, url
        self.key = (rooms.settings.data_dir / "admin.key").read_text().strip()
        self.http = httpx.Client(base_url=url, timeout=30)
        self.feedback = create_key(rooms.db, rooms.clock, "provider", ["feedback"])
        self._sent = 0

    def call(self, method: str, path: str, **more: Any) -> Any:
        answer = self.http.request(method, path, headers={"authorization": f"Bearer {self.key}"}, **more)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def post(self, provider: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(PATH + provider, content=content, headers=headers)

    def told(self, provider: str, body: Any) -> Any:
        """What it answers to a key of scope `feedback`."""
        answer = self.post(provider, body, authorization=f"Bearer {self.feedback}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def mail(self) -> str:
        """The id of a mail that has just gone out, to an address of its own."""
        self._sent += 1
        name = f"a{self._sent}-{id(self)}"
        contact = {"id": "ann", "email": f"{name}@acme.test", "roles": ["admin"]}
        self.call(
            "PUT", f"/v1/accounts/{name}", json={"contacts": [contact], "owner": {"email": "jo@us.test"}}
        )
        self.call("POST", "/v1/events", json={"type": "ticket.opened", "account": name})
        return str(self.until(lambda: self.action_of(name))["id"])

    def action_of(self, account: str) -> Any:
        items = self.call("GET", "/v1/actions", params={"account": account})["items"]
        return items[0] if items and items[0]["status"] == "done" else None

    def action(self, action: str) -> Any:
        return self.call("GET", f"/v1/actions/{action}")

    def suppressed(self, action: str) -> list[tuple[str, str]]:
        address = self.action(action)["recipient"]
        items = self.call("GET", "/v1/suppressions", params={"address": address})["items"]
        return [(one["topic"], one["reason"]) for one in items]

    def until(self, ask: Any) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := ask()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return found


@contextmanager
def started(folder: Path, **settings: Any) -> Iterator[Server]:
    """A server with a playbook that sends a mail, and a rule that starts it."""
    with running(load_settings(data_dir=folder, port=0, partitions=2, **settings)) as (rooms, url):
        made = Server(rooms, url)
        made.call("POST", "/v1/templates", json={"name": "hello", "subject": "Hi", "markdown": "Hello"})
        made.call("POST", "/v1/playbooks", json={"name": "hello", "topic": "hello", "steps": STEPS})
        rule = {"name": "hello", "when": WHEN, "playbook": "hello", "status": "active"}
        made.call("POST", "/v1/rules", json=rule)
        yield made
        made.http.close()
