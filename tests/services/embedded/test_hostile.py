"""Hostile names, templates, patterns and targets through all three services, on either stack."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from deploy.local.process import wait_until
from services.app import running
from tests.unit.rendering.loot import LOOT
from tests.unit.schemas.patterns import EXPLODING, HOSTILE_TEXT, REFUSED

HEADERS = [
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "X-Touchline-Action",
    "X-PM-Metadata-touchline", "X-SMTPAPI", "X-Mailgun-Variables", "X-SES-MESSAGE-TAGS", "Precedence",
    "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Feedback-ID", "MIME-Version", "Content-Type",
]  # fmt: skip
EVIL = "evil@evil.test"
NAMES = [
    *(
        f"x{mark}Bcc: {EVIL}{mark}y"
        for mark in ("\r\n", "\n", "\r", "\r\n ", "\n\n", "\x0b", "\x85", "\u2028")
    ),
    "=?utf-8?q?x=0D=0ABcc:_evil@evil.test?=",
    "=?utf-8?b?DQpCY2M6IGV2aWxAZXZpbC50ZXN0?=",
    f'"x" <{EVIL}>, ',
    f'x" <{EVIL}>, "y',
    f"x;y:z@a.test,{EVIL}",
    "x\r\n.\r\nMAIL FROM:<evil@evil.test>\r\n",
    "--=_act_1\r\nContent-Type: text/html\r\n\r\nevil",
]
ADDRESSES = [
    f"ann@acme.test\r\nBcc: {EVIL}", f"ann@acme.test,{EVIL}", f"ann@acme.test> <{EVIL}", "@evil.test:ann@acme.test",
    "ann@acme.test\x00", "ann@@acme.test", '"ann\r\n"@acme.test', f"ann@acme.test;{EVIL}",
]  # fmt: skip
ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ''|attr('__class__') }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ range.__init__.__globals__ }}",
    "{{ lipsum.__globals__.os.environ }}",
    "{% include '/etc/passwd' %}",
    "{{ self.__init__.__globals__ }}",
    "{{ 'a' * 10 ** 10 }}",
]
TARGETS = [
    "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]",
    "169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "0.0.0.0",
]  # fmt: skip


@pytest.fixture
def api(stores: dict[str, Any], tmp_path: Path) -> Iterator[httpx.Client]:
    """A client with the admin key."""
    settings = load_settings(data_dir=tmp_path / "data", port=0, partitions=2, **stores)
    with running(settings) as (rooms, url):
        key = create_key(rooms.db, rooms.clock, "root", ["admin"])
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            yield client


def put(api: httpx.Client, path: str, body: Any) -> None:
    answer = api.put(f"/v1/{path}", json=body)
    assert answer.is_success, answer.text


def rule(api: httpx.Client, name: str, where: dict[str, Any], steps: list[Any]) -> None:
    """Each event of type `go` for which `where` holds starts those steps."""
    put(api, f"playbooks/{name}", {"name": name, "limit": None, "steps": steps})
    when = {"threshold": {"event": "go", "at_least": 1, "where": where}}
    how = {"scope": "contact", "cooldown": "0s", "playbook": name, "status": "active"}
    put(api, f"rules/{name}", {"name": name, "when": when, **how})


def post(api: httpx.Client, *events: dict[str, Any]) -> None:
    answer = api.post("/v1/events", json=list(events))
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == len(events), answer.text


def settled(api: httpx.Client, actions: int) -> list[dict[str, Any]]:
    """All actions, once there are so many and none is under way."""

    def found() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (
            api.get("/v1/actions", params={"limit": 500}).raise_for_status().json()["items"]
        )
        return items

    def done() -> bool:
        items = found()
        return len(items) >= actions and all(one["status"] in {"done", "failed", "skipped"} for one in items)

    wait_until("all is delivered", done, 60)
    return found()


def test_no_name_or_address_changes_a_mail(api: httpx.Client, tmp_path: Path) -> None:
    put(
        api,
        "templates/hi",
        {"name": "hi", "subject": "For {{ contact.name }}", "markdown": "Hi {{ contact.name }}"},
    )
    rule(api, "hi", {"data.x": 1}, [{"email": {"template": "hi"}}])
    people = [{"id": f"p{n}", "name": name, "email": f"p{n}@acme.test"} for n, name in enumerate(NAMES)]
    put(api, "accounts/acme", {"contacts": people})
    for address in ADDRESSES:
        wrong = api.put("/v1/accounts/acme", json={"contacts": [{"id": "wrong", "email": address}]})
        assert wrong.status_code in {400, 422}, (address, wrong.text)
    post(api, *({"type": "go", "account": "acme", "contact": one["id"], "data": {"x": 1}} for one in people))
    assert {one["status"] for one in settled(api, len(people))} == {"done"}
    files = sorted((tmp_path / "data" / "outbox").glob("*.eml"))
    messages = [email.message_from_bytes(one.read_bytes(), policy=email.policy.default) for one in files]
    assert sorted(one["To"].addresses[0].addr_spec for one in messages) == sorted(
        one["email"] for one in people
    )
    for message in messages:
        assert message.keys() == HEADERS
        assert len(message["To"].addresses) == 1
        assert [part.get_content_type() for part in message.walk()] == [
            "multipart/alternative", "text/plain", "text/html",
        ]  # fmt: skip


def test_no_template_shows_what_it_must_not(api: httpx.Client, tmp_path: Path) -> None:
    kept = []
    for n, source in enumerate(ESCAPES):
        body = {"name": f"t{n}", "subject": "s", "markdown": source}
        answer = api.put(f"/v1/templates/t{n}", json=body)
        if answer.status_code == 422:
            continue
        assert answer.is_success, answer.text
        kept.append(f"t{n}")
        shown = api.post(f"/v1/templates/t{n}/preview", json={})
        assert shown.status_code < 500, shown.text
        assert not any(sign in shown.text for sign in LOOT), shown.text
    assert len(kept) >= 4
    put(api, "accounts/acme", {"contacts": [{"id": "ann", "email": "ann@acme.test"}]})
    for name in kept:
        rule(api, name, {"data.x": name}, [{"email": {"template": name}}])
    post(api, *({"type": "go", "account": "acme", "contact": "ann", "data": {"x": name}} for name in kept))
    for one in settled(api, len(kept)):
        assert one["status"] == "failed", one
        assert one["reason"] in {"template_error", "template_limits"}, one
    assert not list((tmp_path / "data").glob("outbox/*.eml"))


def test_patterns_that_explode_elsewhere_cost_nobody_anything(api: httpx.Client) -> None:
    for pattern in REFUSED:
        when = {"threshold": {"event": "go", "at_least": 1, "where": {"data.x": {"matches": pattern}}}}
        answer = api.put("/v1/rules/wrong", json={"name": "wrong", "when": when})
        assert answer.status_code == 422, (pattern, answer.text)
        assert "RE2" in answer.text
    task = [{"task": {"title": "t"}}]
    rule(api, "hostile", {"any": [{"data.x": {"matches": one}} for one in EXPLODING]}, task)
    rule(api, "good", {"data.x": {"matches": "a+!$"}}, task)
    post(api, {"type": "go", "account": "acme", "contact": "ann", "data": {"x": HOSTILE_TEXT}})
    assert [one["playbook"] for one in settled(api, 1)] == ["good"]


def test_no_webhook_reaches_inside(api: httpx.Client) -> None:
    names = []
    for n, host in enumerate(TARGETS):
        answer = api.put(
            f"/v1/endpoints/e{n}", json={"name": f"e{n}", "url": f"http://{host}:{api.base_url.port}/hook"}
        )
        if answer.status_code != 422:
            assert answer.is_success, answer.text
            names.append(f"e{n}")
    assert len(names) >= 8
    for name in names:
        rule(api, name, {"data.x": name}, [{"webhook": {"endpoint": name, "body": {"a": 1}}}])
    post(api, *({"type": "go", "account": "acme", "contact": "ann", "data": {"x": name}} for name in names))
    for one in settled(api, len(names)):
        assert (one["status"], one["reason"]) == ("failed", "address_refused"), one
