"""What a running Touchline writes onto its topics is what the AsyncAPI document says, record by record."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.log import DEAD_LETTERS, EVENTS, TRIGGERS, Entry, Log, Record
from backbone.settings import load_settings
from schemas.event import CONTROL, RESERVED
from schemas.topic_messages import BETWEEN, name_of
from schemas.topics import OWN
from services.app import running
from tests.services.contract.test_rules import settled
from tests.unit.feedback.samples import POSTMARK_COMPLAINT, about
from tests.unit.schemas.test_asyncapi import MESSAGES, fits

STEPS = [
    {"email": {"template": "hello"}},
    {"task": {"title": "Call", "assignee": "jo@us.test"}},
    {"webhook": {"endpoint": "forbidden"}},
]
ENDED = {"event": "resolved"}
TREND = {"event": "ticket", "over": "2d", "baseline": "4d", "rises_by": 10, "min_baseline": 1}
RULES: dict[str, Any] = {
    "spike": {"when": {"threshold": {"event": "ticket", "at_least": 1}}, "playbook": "all", "cooldown": "0s"},
    "quiet": {"when": {"absence": {"event": "ticket", "for": "1d"}}, "playbook": "waits"},
    "busier": {"when": {"trend": TREND}, "by": None},
    "gone": {
        "when": {"absence": {"event": "ticket", "for": "300d"}},
        "alive": {"event": "ticket", "within": "1d"},
    },
}
KNOWN = OWN.keys() | BETWEEN.keys() | RESERVED
SEEN_ELSEWHERE = {"emailBounced", "webhookDelivered"}  # they need servers: see tests/e2e


def records(log: Log, topic: str) -> list[Record]:
    found: list[Record] = []
    for partition, start in log.start_offsets(topic).items():
        end = log.end_offsets(topic)[partition]
        while start < end:
            part = log.read(topic, partition, start)
            found += part
            start = part[-1].offset + 1
    return found


def post(api: httpx.Client, *events: dict[str, Any]) -> None:
    assert api.post("/v1/events", json=list(events)).json()["rejected"] == []


def live(api: httpx.Client, data: Path) -> None:
    """A bit of everything."""
    api.put("/v1/endpoints/forbidden", json={"url": "http://127.0.0.1:9/"}).raise_for_status()
    api.put(
        "/v1/templates/hello", json={"subject": "Hi", "markdown": "[x]({{ unsubscribe_url }})"}
    ).raise_for_status()
    api.put("/v1/playbooks/all", json={"steps": STEPS}).raise_for_status()
    api.put("/v1/playbooks/waits", json={"steps": [{"wait": "30d"}], "exit_when": ENDED}).raise_for_status()
    for name, rule in RULES.items():
        body = {key: value for key, value in rule.items() if value is not None}
        api.put(f"/v1/rules/{name}", json={**body, "status": "active"}).raise_for_status()
    contacts = [{"id": "ann", "email": "ann@acme.test"}]
    account = {"name": "Acme", "contacts": contacts, "attributes": {"arr": 1}}
    api.put("/v1/accounts/acme", json=account, params={"time": "2026-01-01T00:00:00Z"}).raise_for_status()
    for day in (1, 6, 7, 8, 9):
        ticket = {"type": "ticket", "account": "acme", "contact": "ann", "time": f"2026-01-0{day}T09:00:00Z"}
        post(api, {**ticket, "data": {"severity": "high"}, "subject": "t-1"})
    named = {"type": "contact.updated", "account": "acme", "contact": "ann", "data": {"name": "Ann"}}
    post(api, {**named, "time": "2026-01-09T10:00:00Z"})
    api.post("/v1/clock", json={"time": "2026-01-12T00:00:00Z"}).raise_for_status()
    settled(api)
    post(api, {"type": "resolved", "account": "acme", "time": "2026-01-12T01:00:00Z"})
    task = api.get("/v1/tasks?status=open").json()["items"][0]["id"]
    api.post(f"/v1/tasks/{task}/complete", json={"note": "done"}).raise_for_status()
    mail = next((data / "outbox").glob("*.eml")).read_text().replace("=\n", "")
    token = re.findall(r"/u/([A-Za-z0-9._-]+)", mail)[0]
    httpx.post(f"{api.base_url}/u/{token}", data={"List-Unsubscribe": "One-Click"}).raise_for_status()
    sent = api.get("/v1/actions?channel=email").json()["items"][0]["id"]
    api.post("/v1/mail/feedback/postmark", json=about(POSTMARK_COMPLAINT, sent)).raise_for_status()
    settled(api)
    post(api, {"type": "account.merged", "account": "lone", "data": {"into": "acme"}})
    post(api, {"type": "contact.deleted", "account": "acme", "contact": "ann"})
    post(api, {"type": "account.deleted", "account": "acme"})


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Record]]:
    folder = tmp_path_factory.mktemp("data")
    with running(load_settings(data_dir=folder, port=0, partitions=2, clock="log")) as (rooms, url):
        key = (folder / "admin.key").read_text().strip()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as api:
            live(api, folder)
            rooms.log.append(EVENTS, [Entry(b"\xff no event", key="acme")]).result(timeout=30)
            rooms.log.append(EVENTS, [Entry(b'{"type": "a"}', key="acme", headers=[("h", b"1")])]).result(
                timeout=30
            )
            settled(api)
            return {topic: records(rooms.log, topic) for topic in (EVENTS, TRIGGERS, DEAD_LETTERS)}


def message_of(type_: str) -> str:
    if type_ in CONTROL:
        return name_of(type_)
    return name_of(type_) if type_ in KNOWN else "event"


def test_events(topics: dict[str, list[Record]]) -> None:
    dead = {record.value for record in topics[DEAD_LETTERS]}
    seen = set()
    for record in topics[EVENTS]:
        if record.value not in dead:
            payload = json.loads(record.value)
            name = message_of(payload["type"])
            assert fits(name, payload), (name, payload)
            assert record.key == payload.get("account")
            seen.add(name)
    wanted = {*map(name_of, KNOWN), "event", "clock", "rulesSaved"}
    assert wanted - seen == SEEN_ELSEWHERE


def test_triggers(topics: dict[str, list[Record]]) -> None:
    payloads = [json.loads(record.value) for record in topics[TRIGGERS]]
    assert {name for payload in payloads for name in payload} == {"trigger", "progress", "moved"}
    for record, payload in zip(topics[TRIGGERS], payloads, strict=True):
        (name,) = payload
        assert fits(name, payload), payload
        assert record.key == payload[name].get("account")
    fired = {payload["trigger"]["rule"] for payload in payloads if "trigger" in payload}
    assert fired == RULES.keys() - {"gone"}  # it waits for most of a year


def test_dead_letters(topics: dict[str, list[Record]]) -> None:
    assert len(topics[DEAD_LETTERS]) == 2
    said = MESSAGES["deadLetter"]["headers"]
    for record in topics[DEAD_LETTERS]:
        headers = {name: value.decode() for name, value in record.headers}
        assert set(said["required"]) <= headers.keys()
        for name, value in headers.items():
            known = said["properties"].get(name)
            assert known is None or re.fullmatch(known.get("pattern", ".*"), value)
    assert {"h": b"1"}.items() <= dict(topics[DEAD_LETTERS][1].headers).items()
