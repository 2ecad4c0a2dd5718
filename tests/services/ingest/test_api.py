"""The ingest service on SQLite and the embedded log, over ASGI."""

import asyncio
import base64
import gzip
import json
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import httpx
import pytest
from fastapi import Request, Response
from fastapi.routing import APIRoute

from backbone.errors import LogUnavailable
from backbone.log import Entry
from backbone.web.api_keys import Principal, create_key
from tests.services.ingest.kit import Kit

EVENT = {"type": "ticket.opened", "account": "acme", "id": "1", "data": {"a": 1}}


async def test_events_are_on_the_log_when_the_answer_comes(kit: Kit) -> None:
    answer = await kit.post("/v1/events", EVENT)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    [event] = kit.events()
    assert (event.id, event.account, event.data, event.source) == ("1", "acme", {"a": 1}, "api")
    assert event.time is not None
    assert event.time.isoformat() == "2026-11-22T09:00:00+00:00"


@pytest.mark.parametrize("data", [b'{"a": "b\\u0000"}', b'"\\u0000"'])
async def test_no_nul_hides_in_base64(kit: Kit, data: bytes) -> None:
    sent = {"type": "x", "account": "acme", "id": "1", "data_base64": base64.b64encode(data).decode()}
    answer = await kit.post("/v1/events", sent)
    assert answer.status_code == 422
    assert [each["error"]["code"] for each in answer.json()["rejected"]] == ["nul"]
    assert kit.events() == []
    sent["data_base64"] = base64.b64encode(b'{"a": "b"}').decode()
    assert (await kit.post("/v1/events", sent)).status_code == 202


@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: {"events": e}])
async def test_what_is_good_is_taken(kit: Kit, wrap: Any) -> None:
    answer = await kit.post("/v1/events", wrap([EVENT, {"account": "acme", "id": "2"}, {**EVENT, "id": "3"}]))
    assert answer.status_code == 202
    error = {"code": "required", "field": "type", "message": "is required"}
    assert answer.json() == {"accepted": 2, "rejected": [{"index": 1, "id": "2", "error": error}]}
    assert [event.id for event in kit.events()] == ["1", "3"]


async def test_nothing_taken_is_422_with_the_same_fields(kit: Kit) -> None:
    answer = await kit.post("/v1/events", [{"type": "a"}, {"account": "b"}])
    body = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["accepted"] == 0
    assert [each["index"] for each in body["rejected"]] == [0, 1]
    assert body["errors"] == [
        {"field": "0.account", "message": "is required"},
        {"field": "1.type", "message": "is required"},
    ]
    single = (await kit.post("/v1/events", {"type": "a"})).json()
    assert single["errors"] == [{"field": "account", "message": "is required"}]


async def test_cloudevents_modes(kit: Kit) -> None:
    full = {"specversion": "1.0", "source": "x", **EVENT}
    structured = {"content-type": "application/cloudevents+json; charset=utf-8"}
    answer = await kit.post("/v1/events", content=json.dumps(full), headers=structured)
    assert answer.status_code == 202
    batch = {"content-type": "application/cloudevents-batch+json"}
    answer = await kit.post("/v1/events", content=json.dumps([{**full, "id": "2"}]), headers=batch)
    assert answer.status_code == 202
    binary = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "3",
        "ce-source": "x",
        "ce-type": "ticket.opened",
        "ce-account": "acme",
    }
    answer = await kit.post("/v1/events", content=b'{"a": 1}', headers=binary)
    assert answer.status_code == 202
    assert [(event.id, event.source, event.data) for event in kit.events()] == [
        (number, "x", {"a": 1}) for number in ("1", "2", "3")
    ]


async def test_gzip(kit: Kit) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    body = gzip.compress(json.dumps([EVENT]).encode())
    assert (await kit.post("/v1/events", content=body, headers=headers)).status_code == 202
    bomb = gzip.compress(b'[{"type":"' + b"a" * 20_000_000)
    assert (await kit.post("/v1/events", content=bomb, headers=headers)).status_code == 413


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'"x"', "application/json", 422),
        (b"[" * 400_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b"{}", "application/json", 422),
        (b'{"type":"a","account":"b","data":' + b"9" * 1_000_000 + b"}", "application/json", 422),
        (b"x" * 1_048_577, "application/json", 413),
        (b"[" + b"{}," * 500 + b"{}]", "application/json", 413),
        (b"{}", "text/csv", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_refusals(kit: Kit, content: bytes, kind: str, status: int) -> None:
    answer = await kit.post("/v1/events", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"]
    assert kit.events() == []


async def test_500_events_are_fine(kit: Kit) -> None:
    events = [{**EVENT, "id": str(n)} for n in range(500)]
    assert (await kit.post("/v1/events", events)).json()["accepted"] == 500
    assert [event.id for event in kit.events()] == [str(n) for n in range(500)]


async def test_scopes(kit: Kit) -> None:
    reader = create_key(kit.rooms.db, kit.rooms.clock, "reader", ["rules:read"])
    assert (await kit.post("/v1/events", EVENT, key=reader)).status_code == 403
    assert (await kit.http.post("/v1/events", json=EVENT)).status_code == 401
    erase = {"type": "account.deleted", "account": "acme"}
    answer = await kit.post("/v1/events", erase)
    assert answer.status_code == 403
    assert answer.json()["rejected"][0]["error"]["code"] == "forbidden_type"
    assert (await kit.post("/v1/events", erase, key=kit.admin)).status_code == 202
    ours = {"type": "touchline.play.started", "account": "acme"}
    assert (await kit.post("/v1/events", ours, key=kit.admin)).status_code == 422


async def test_an_idempotency_key_makes_the_ids(kit: Kit) -> None:
    events = [{"type": "a", "account": "acme"}] * 2
    for _ in range(2):
        answer = await kit.post("/v1/events", events, headers={"idempotency-key": "k"})
        assert answer.status_code == 202
    ids = [event.id for event in kit.events()]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]
    await kit.post("/v1/events", events)
    assert len({event.id for event in kit.events()}) == 4
    other = [{"type": "a", "account": "acme", "data": 1}]
    await kit.post("/v1/events", other, headers={"idempotency-key": "k"})
    assert len({event.id for event in kit.events()}) == 5  # another request, though under the same key


async def test_accounts(kit: Kit) -> None:
    async def put(path: str, data: Any) -> httpx.Response:
        return await kit.http.put(path, json=data, headers={"authorization": f"Bearer {kit.writer}"})

    data = {
        "name": "Acme",
        "tier": "high",
        "contacts": [{"id": "ann", "email": "ann@acme.test"}],
        "timezone": None,
    }
    assert (await put("/v1/accounts/acme%2Feu?historical=true", data)).status_code == 202
    [event] = kit.events()
    assert (event.type, event.account, event.historical, event.data) == (
        "account.updated",
        "acme/eu",
        True,
        data,
    )
    wrong = await put("/v1/accounts/acme", {"tier": "gold", "plan": 1, "contacts": [{}]})
    assert wrong.status_code == 422
    assert {error["field"] for error in wrong.json()["errors"]} == {"tier", "plan", "contacts.0.id"}
    zones = {"timezone": "Mars/Olympus", "contacts": [{"id": "ann", "timezone": "Europe"}]}
    wrong = await put("/v1/accounts/acme", zones)
    assert [error["field"] for error in wrong.json()["errors"]] == ["timezone", "contacts.0.timezone"]
    assert "IANA name such as Europe/Berlin" in wrong.json()["errors"][0]["message"]
    assert "no timezone 'Mars/Olympus'" in wrong.json()["errors"][0]["message"]
    assert (await put("/v1/accounts/acme", {"timezone": "Europe/Berlin"})).status_code == 202
    people = {
        "owner": {"email": "jo.us.test"},
        "contacts": [{"id": "a", "email": "a@"}, {"id": "b", "email": " b@c.test"}],
    }
    wrong = await put("/v1/accounts/acme", people)
    assert [error["field"] for error in wrong.json()["errors"]] == ["owner.email", "contacts.0.email"]
    update = {"type": "account.updated", "account": "acme", "data": {"timezone": "Mars/Olympus"}}
    for data, field in ((zones, "data.timezone"), (people, "data.owner.email")):
        wrong = await kit.post("/v1/events", {**update, "data": data})  # the same thing, and refused alike
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, field)
    assert (await put("/v1/accounts/" + "x" * 257, {})).status_code == 422
    assert (await put("/v1/accounts/x", {"attributes": {"a": "x" * 70_000}})).status_code in {202, 422}


async def test_what_get_shows_of_a_merged_account_changes_nothing_in_the_other(kit: Kit) -> None:
    shown = {"id": "old", "name": None, "owner": None, "domains": [], "attributes": {"plan": "free"}}
    headers = {"authorization": f"Bearer {kit.writer}"}
    answer = await kit.http.put("/v1/accounts/old", json={**shown, "merged_into": "acme"}, headers=headers)
    assert answer.status_code == 202
    assert [one["field"] for one in answer.json()["warnings"]] == ["merged_into"]
    assert kit.events()[-1].data == {}
    wrong = await kit.http.put("/v1/accounts/old", json={"merged_into": "acme", "tier": "x"}, headers=headers)
    assert wrong.status_code == 422
    for open_still in ({**shown, "merged_into": None}, shown):
        answer = await kit.http.put("/v1/accounts/old", json=open_still, headers=headers)
        assert "warnings" not in answer.json()
        assert kit.events()[-1].data == {name: value for name, value in shown.items() if name != "id"}


@pytest.mark.parametrize("kit", [{"clock": "log"}], indirect=True)
async def test_the_clock(kit: Kit) -> None:
    answer = await kit.post("/v1/clock", {"time": "2026-12-01T01:00:00+01:00"}, key=kit.admin)
    assert (answer.status_code, answer.json()) == (202, {"time": "2026-12-01T00:00:00Z"})
    assert [event.type for event in kit.events()] == ["touchline.clock"] * 4
    assert (await kit.post("/v1/clock", {"time": "2026-12-01T00:00:00"}, key=kit.admin)).status_code == 422
    assert (await kit.post("/v1/clock", {"time": "2026-12-01T00:00:00Z"})).status_code == 403


async def test_the_wall_clock_cannot_be_set(kit: Kit) -> None:
    assert (await kit.post("/v1/clock", {"time": "2026-12-01T00:00:00Z"}, key=kit.admin)).status_code == 409


async def test_segment_calls(kit: Kit) -> None:
    auth = {"authorization": "Basic " + base64.b64encode(f"{kit.writer}:".encode()).decode()}

    async def call(kind: str, body: Any) -> httpx.Response:
        return await kit.http.post(f"/v1/{kind}", json=body, headers=auth)

    for kind, body in [
        ("track", {"userId": "ann", "event": "First"}),
        ("group", {"userId": "ann", "groupId": "acme", "traits": {"plan": "pro"}}),
        ("identify", {"userId": "ann", "traits": {"email": "ann@acme.test"}}),
        ("page", {"userId": "ann", "name": "Home"}),
        ("screen", {"userId": "ann", "name": "Home"}),
        ("alias", {"userId": "ann", "previousId": "anon"}),
        ("batch", {"batch": [{"type": "track", "userId": "ann", "event": "Second"}]}),
    ]:
        answer = await call(kind, body)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    by_account: dict[str | None, list[str]] = {}
    for event in kit.events():
        by_account.setdefault(event.account, []).append(event.type)
    assert by_account == {
        "ann": ["first", "account.merged"],
        "acme": ["account.updated", "contact.updated", "contact.updated", "page", "screen", "second"],
    }
    assert (await call("track", {"userId": "ann"})).status_code == 400
    ancient = await call("track", {"userId": "ann", "event": "x", "timestamp": "0001-01-01T00:00:00Z"})
    assert (ancient.status_code, ancient.json()["detail"][:10]) == (400, "timestamp:")
    mixed = {"batch": [{"type": "track", "userId": "a"}, {"type": "track", "userId": "a", "event": "x"}]}
    answer = await call("batch", mixed)
    assert answer.status_code == 200
    assert answer.json()["rejected"] == [{"field": "0.event", "message": "is required"}]
    assert (await kit.http.post("/v1/track", json={})).status_code == 401


async def test_erasure_forgets_groups(kit: Kit) -> None:
    for user, group in (("ann", "acme"), ("bob", "acme"), ("cat", "other")):
        await kit.post("/v1/group", {"userId": user, "groupId": group})
    await kit.post(
        "/v1/events", {"type": "contact.deleted", "account": "acme", "contact": "ann"}, key=kit.admin
    )

    async def account_of(user: str) -> str | None:
        await kit.post("/v1/track", {"userId": user, "event": "probe", "messageId": f"probe-{user}"})
        return [event.account for event in kit.events() if event.id == f"probe-{user}"][-1]

    assert await account_of("ann") == "ann"
    assert await account_of("bob") == "acme"
    await kit.post("/v1/events", {"type": "account.deleted", "account": "acme"}, key=kit.admin)
    await kit.post("/v1/track", {"userId": "bob", "event": "probe", "messageId": "again"})
    assert [event.account for event in kit.events() if event.id == "again"] == ["bob"]
    assert await account_of("cat") == "other"


class Stuck:
    """A log whose appends wait until they are let go, or fail."""

    def __init__(self) -> None:
        self.waiting: list[Future[list[tuple[int, int]]]] = []

    def append(self, _topic: str, _entries: Sequence[Entry]) -> Future[list[tuple[int, int]]]:
        self.waiting.append(Future())
        return self.waiting[-1]


@pytest.mark.parametrize("kit", [{"ingest_max_in_flight": 2}], indirect=True)
async def test_too_much_under_way(kit: Kit) -> None:
    stuck = Stuck()
    kit.rooms.services[0].intake._log = stuck  # type: ignore[attr-defined]
    waiting = [asyncio.create_task(kit.post("/v1/events", EVENT)) for _ in range(2)]
    while len(stuck.waiting) < 2:
        await asyncio.sleep(0)
    answer = await kit.post("/v1/events", EVENT)
    assert (answer.status_code, answer.json()["code"]) == (429, "busy")
    assert int(answer.headers["retry-after"]) >= 1
    stuck.waiting[0].set_result([(0, 0)])
    stuck.waiting[1].set_exception(LogUnavailable("the disk is full"))
    # Which of the two came first is chance: each looked its key up in a thread of its own.
    answers = sorted(await asyncio.gather(*waiting), key=lambda each: each.status_code)
    assert [each.status_code for each in answers] == [202, 503]
    assert "retry-after" in answers[1].headers
    assert answers[1].json()["code"] == "log_unavailable"


@pytest.mark.parametrize("kit", [{"ingest_rate_limit": 1}], indirect=True)
async def test_too_many_a_second(kit: Kit) -> None:
    events = [{"type": "a", "account": "b"}] * 499
    assert (await kit.post("/v1/events", events)).status_code == 202
    answer = await kit.post("/v1/events", events)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 480 <= int(answer.headers["retry-after"]) <= 499
    assert (await kit.post("/v1/events", events, key=kit.admin)).status_code == 202  # a bucket per key


async def test_status_and_metrics(kit: Kit) -> None:
    await kit.post("/v1/events", [EVENT, {"type": "a"}])
    key = {"authorization": f"Bearer {kit.writer}"}
    async with asyncio.timeout(20):  # seconds, until the directory has read it too
        while not (await kit.http.get("/v1/status", headers=key)).json()["idle"]:
            await asyncio.sleep(0.01)
    text = (await kit.http.get("/metrics")).text
    assert 'touchline_events_accepted_total{source="native"}' in text
    assert 'touchline_events_rejected_total{code="required"}' in text
    assert 'route="/v1/events"' in text
    assert "acme" not in text


async def test_what_is_no_text_names_no_account(kit: Kit) -> None:
    """A server that reads the path puts a mark in its place: two accounts would be one."""
    headers = {"authorization": f"Bearer {kit.writer}", "content-type": "application/json"}
    for path in ("%ff", "a%ED%A0%BD", "%C3"):
        answer = await kit.http.put(f"/v1/accounts/{path}", content=b"{}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "not_utf8")
    for body in (
        rb'{"name": "cut \ud83d"}',
        b'{"name": "\xff"}',
        b'{"attributes": {"n": 1e999}}',
        rb'{"name": "\u0000"}',
    ):
        answer = await kit.http.put("/v1/accounts/acme", content=body, headers=headers)
        assert answer.status_code == 400, body
    assert kit.events() == []
    assert (await kit.http.put("/v1/accounts/%EF%BF%BD", content=b"{}", headers=headers)).status_code == 202


async def test_the_route_that_is_registered_is_the_one_way_in(kit: Kit) -> None:
    """Whoever traces a request from the list of routes comes to the handler that serves it."""
    [route] = [each for each in kit.rooms.app.routes if getattr(each, "path", "") == "/v1/events"]
    assert isinstance(route, APIRoute)
    seen: list[Request] = []
    endpoint = route.endpoint

    async def spy(request: Request, principal: Principal) -> Response:
        seen.append(request)
        answer: Response = await endpoint(request, principal)
        return answer

    route.endpoint = spy
    answer = await kit.post("/v1/events", {"type": "login", "account": "acme"})
    assert answer.status_code == 202
    assert len(seen) == 1
    refused = await kit.post("/v1/events?dry=1", {"type": "login", "account": "acme"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "dry")
    assert len(seen) == 1
