"""What an approver sees is what goes out, byte for byte; with everything real, the renderer and the mail files too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.settings import load_settings
from services.app import running
from tests.e2e.stack import until

ACCOUNT = {
    "name": "Acme & Söhne",
    "owner": {"name": "Jo Döe", "email": "jo@us.test"},
    "contacts": [{"id": "ann", "name": "Ann", "email": "ann@acme.test"}],
}
HELLO = {
    "name": "hello",
    "subject": "Grüße, {{ contact.name }}",
    "markdown": "Hi **{{ contact.name }}**,\n\n{{ account.name }}",
}
OWN = {
    "name": "own",
    "subject": "Own",
    "html": "<html><head><title>Ours</title></head><body><p>Hi</p></body></html>",
}
SNEAKY = "{{ account.name }} {% raw %} {# no #} <b>bold?</b> & \ue0000\ue001 **strong** [link](https://x.test/?a={{b}})"
DATE = re.compile(rb"^Date: [^\r\n]*\r\n", re.MULTILINE)


class Place:
    """A running Touchline, and the folder of its mails."""

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self.client, self.outbox = client, folder / "outbox"
        self.plays = 0

    def call(self, method: str, path: str, **more: Any) -> Any:
        answer = self.client.request(method, path, **more)
        assert answer.is_success, (path, answer.text)
        return answer.json()

    def ask(self, name: str = "hello") -> str:
        """A new play with one mail; returns the action that waits."""
        self.plays += 1
        self.call("POST", "/v1/events", json={"type": f"it.{name}", "account": "acme", "contact": "ann"})
        waits = {"reason": "awaiting_approval", "playbook": name}
        until("it waits", lambda: self.call("GET", "/v1/actions", params=waits)["items"])
        (found,) = self.call("GET", "/v1/actions", params=waits)["items"]
        return str(found["id"])

    def shown(self, action: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/actions/{action}")
        return found

    def sent(self, action: str) -> bytes:
        """The mail as it was written."""
        until("it is sent", lambda: self.shown(action)["status"] == "done")
        (file,) = self.outbox.glob(f"*{action}.eml")
        return file.read_bytes()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("approvals")
    with running(load_settings(data_dir=folder, port=0, partitions=1)) as (_, url):
        key = (folder / "admin.key").read_text().strip()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            made = Place(client, folder)
            made.call("PUT", "/v1/accounts/acme", json=ACCOUNT)
            for template in (HELLO, OWN):
                made.call("POST", "/v1/templates", json=template)
                name = template["name"]
                steps = [{"email": {"template": name, "approve": True}}]
                made.call("POST", "/v1/playbooks", json={"name": name, "steps": steps})
                when = {"threshold": {"event": f"it.{name}", "at_least": 1}}
                rule = {"name": name, "when": when, "cooldown": "0s", "playbook": name, "status": "active"}
                made.call("POST", "/v1/rules", json=rule)
            yield made


def test_what_is_shown_is_what_goes_out(place: Place) -> None:
    action = place.ask()
    before = place.shown(action)
    place.call("POST", f"/v1/actions/{action}/approve")
    sent = place.sent(action)
    assert before["message"].encode() == DATE.sub(b"", sent)
    assert place.shown(action)["message"] == before["message"]
    parsed = message_from_bytes(sent, policy=policy.SMTP)
    assert (parsed["subject"], before["rendered"]["subject"]) == ("Grüße, Ann", "Grüße, Ann")
    for kind in ("html", "text"):
        part = parsed.get_body((kind.replace("text", "plain"),))
        assert part is not None
        assert part.get_content().replace("\r\n", "\n") == before["rendered"][kind]


def test_edits_are_literal_text_in_the_layout_and_are_shown_as_they_go_out(place: Place) -> None:
    action = place.ask()
    before = place.shown(action)["rendered"]
    edits = {"subject": "  {{ mine }}   “x” ", "markdown": SNEAKY}
    answer = place.call("POST", f"/v1/actions/{action}/approve", json=edits)
    sent = place.sent(action)
    assert answer["message"].encode() == DATE.sub(b"", sent) == place.shown(action)["message"].encode()
    after = place.shown(action)["rendered"]
    assert after == answer["rendered"]
    assert after["subject"] == "{{ mine }} “x”"
    html, text = after["html"], after["text"]
    assert "{{ account.name }} {% raw %} {# no #}" in html
    assert "{{ account.name }} {% raw %} {# no #}" in text
    assert "&lt;b&gt;bold?&lt;/b&gt; &amp; 0 <strong>strong</strong>" in html
    assert "Acme" not in text.partition("-- \n")[0]
    for kind in ("html", "text"):  # the same layout and footer around it
        assert after["unsubscribe_url"] in after[kind]
        assert "Sent by Jo Döe (jo@us.test) to ann@acme.test" in after[kind]
    assert (
        html.partition("<style>")[0].replace("{{ mine }} “x”", before["subject"])
        == (before["html"].partition("<style>")[0])
    )
    assert {name: after[name] for name in ("to", "from", "reply_to", "topic")} == {
        name: before[name] for name in ("to", "from", "reply_to", "topic")
    }


def test_a_new_subject_alone_leaves_the_text_as_it_was(place: Place) -> None:
    action = place.ask()
    before = place.shown(action)["rendered"]
    after = place.call("POST", f"/v1/actions/{action}/approve", json={"subject": "<New> & {{ x }}"})[
        "rendered"
    ]
    assert (after["subject"], after["text"]) == ("<New> & {{ x }}", before["text"])
    assert "<title>&lt;New&gt; &amp; {{ x }}</title>" in after["html"]
    assert re.sub("<title>.*?</title>", "", after["html"]) == re.sub("<title>.*?</title>", "", before["html"])


def test_a_document_of_its_own_keeps_its_title_and_gives_way_to_new_text(place: Place) -> None:
    action = place.ask("own")
    before = place.shown(action)["rendered"]
    after = place.call("POST", f"/v1/actions/{action}/approve", json={"subject": "New"})["rendered"]
    assert after["html"] == before["html"]
    second = place.ask("own")
    after = place.call("POST", f"/v1/actions/{second}/approve", json={"markdown": "Hello"})["rendered"]
    assert after["subject"] == "Own"
    assert "<title>Own</title>" in after["html"]
    assert "Ours" not in after["html"]
    assert after["text"].startswith("Hello\n")


def test_too_long_a_text_is_refused_and_it_waits_on(place: Place) -> None:
    action = place.ask()
    answer = place.client.post(f"/v1/actions/{action}/approve", json={"markdown": "x" * 131_073})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "markdown")
    answer = place.client.post(f"/v1/actions/{action}/approve", json={"subject": "\u200b\x07"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "subject")
    assert place.shown(action)["reason"] == "awaiting_approval"
    place.call("POST", f"/v1/actions/{action}/reject")
