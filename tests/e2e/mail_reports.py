"""What comes back of mails on Kafka and PostgreSQL: a mail for each way by which reports come, and one without any."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import httpx

from tests.e2e.stack import Stack, until
from tests.e2e.workload import post
from tests.unit.feedback.samples import (
    ACTION,
    MAILGUN_FAILED,
    POSTMARK_BOUNCE,
    RETURNED,
    SENDGRID_COMPLAINT,
    about,
    arf,
    dsn,
)

NAME, PATIENCE_S = "greet", 120.0
# by account: the way, the reason of the mail, and whether its address gets more
CASES: dict[str, tuple[str, str | None, bool]] = {
    "hard": ("postmark", "bounced", False),
    "spam": ("sendgrid", "complained", False),
    "gone": ("mailgun", "bounced", False),
    "full": ("rfc3464", "bounced", True),
    "dead": ("rfc3464", "bounced", False),
    "loop": ("rfc5965", "complained", False),
    "well": ("", None, True),
}


def body(account: str, action: str) -> bytes:
    """What is reported about the mail of an account."""
    returned = RETURNED.replace(ACTION, action)
    made: dict[str, Any] = {
        "hard": about(POSTMARK_BOUNCE, action),
        "spam": [about(SENDGRID_COMPLAINT, action)],
        "gone": about(MAILGUN_FAILED, action),
        "full": dsn(status="4.2.2", said="452 4.2.2 Mailbox full", returned=returned),
        "dead": dsn(returned=returned),
        "loop": arf(returned=returned),
    }
    found = made[account]
    return found if isinstance(found, bytes) else json.dumps(found).encode()


class Greetings:
    """Mails to one contact each of the accounts in `CASES`, and a play for whoever's came back."""

    def __init__(self, stack: Stack, at: str | None) -> None:
        self.stack, self._timed = stack, {"time": at} if at else {}
        self.mails: dict[str, str] = {}  # the action by account
        self.key = ""  # of scope feedback

    def write(self) -> None:
        """Configure the playbooks and write to everybody."""
        told = ["touchline.email.bounced", "touchline.email.complained"]
        with self.stack.client() as client:
            client.post(
                "/v1/templates", json={"name": NAME, "subject": "Hello", "markdown": "Hi"}
            ).raise_for_status()
            for name, events, step in (
                (NAME, "greeted", {"email": {"template": NAME}}),
                (
                    "lost",
                    told,
                    {"task": {"title": "Ask", "key": "{{ trigger.id }}", "assignee": "us@us.test"}},
                ),
            ):
                when = {"threshold": {"event": events, "at_least": 1}}
                rule = {
                    "name": name,
                    "playbook": name,
                    "status": "active",
                    "scope": "contact",
                    "cooldown": "0s",
                    "when": when,
                }
                playbook = {"name": name, "limit": None, "steps": [step]}
                client.post("/v1/playbooks", json=playbook).raise_for_status()
                client.post("/v1/rules", json=rule).raise_for_status()
            people = [self._event(one, "contact.updated", data={"email": f"ann@{one}.test"}) for one in CASES]
            post(client, [*people, *(self._event(one, "greeted") for one in CASES)])
            until("all are written to", lambda: self._sent(client) == len(CASES), PATIENCE_S)
            key = client.post("/v1/keys", json={"name": NAME, "scopes": ["feedback"]})
            self.key = key.raise_for_status().json()["key"]
            self.mails = {one["account"]: one["id"] for one in self._actions(client)}

    def report(self) -> Counter[str]:
        """Report what came back, with a key that may do nothing else; returns how much was matched."""
        with self.stack.client() as client:
            taken: Counter[str] = Counter()
            for account, (way, _, _) in CASES.items():
                if way:
                    taken += self._report(client, way, body(account, self.mails[account]))
        return taken

    def _report(self, client: httpx.Client, way: str, content: bytes) -> Counter[str]:
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = client.post(f"/v1/mail/feedback/{way}", content=content, headers=headers)
        assert answer.status_code == 200, answer.text
        return Counter(answer.json())

    def write_again(self) -> None:
        """Greet everybody once more."""
        with self.stack.client() as client:
            post(client, [self._event(one, "greeted") for one in CASES])
            until("all are greeted again", lambda: len(self._actions(client)) == 2 * len(CASES), PATIENCE_S)
        self.stack.settle()

    def finish(self) -> None:
        """Each mail has its reason, one event told of it, and who wants or can get no more mail got none."""
        with self.stack.client() as client:
            found = self._actions(client)
            tasks = client.get("/v1/tasks", params={"limit": 100}).json()["items"]
        first = {one["account"]: one for one in found if one["id"] in self.mails.values()}
        second = {one["account"]: one for one in found if one["id"] not in self.mails.values()}
        assert {name: (one["status"], one["reason"]) for name, one in first.items()} == {
            name: ("done", reason) for name, (_, reason, _) in CASES.items()
        }
        assert {name: (one["status"], one["reason"]) for name, one in second.items()} == {
            name: ("done", None) if more else ("skipped", "suppressed")
            for name, (_, _, more) in CASES.items()
        }
        asked = Counter(one["account"] for one in tasks if one["title"] == "Ask")
        assert asked == Counter(name for name, (way, _, _) in CASES.items() if way)

    def _event(self, account: str, type_: str, **more: Any) -> dict[str, Any]:
        return {"account": account, "contact": "ann", "type": type_, **more, **self._timed}

    def _actions(self, client: httpx.Client) -> list[dict[str, Any]]:
        answer = client.get("/v1/actions", params={"channel": "email", "playbook": NAME, "limit": 100})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        return found

    def _sent(self, client: httpx.Client) -> int:
        return sum(one["status"] == "done" for one in self._actions(client))
