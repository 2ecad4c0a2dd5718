"""What the console joins of the services' answers: all of them, or an error."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import BadGateway
from services.console.forwarding.joined import attention, status
from services.console.forwarding.openapi import Contradiction, merged
from services.console.forwarding.record import END, head_and_rest
from tests.unit.console.fakes import Asked, Handler, read, reply, town


def said(name: str, *, idle: bool = True, events: int = 7, **more: Any) -> dict[str, Any]:
    return {"idle": idle, "services": {name: {"lag": 0}}, "log": {"events": events, "triggers": 2}, **more}


def test_idle_is_idle_together() -> None:
    parts = [said("ingest"), said("rules"), said("actions")]
    assert status(parts) == {
        "idle": True,
        "services": {name: {"lag": 0} for name in ("ingest", "rules", "actions")},
        "log": {"events": 7, "triggers": 2},
    }
    for place in range(3):
        busy = [*parts[:place], said("busy", idle=False), *parts[place + 1 :]]
        assert status(busy)["idle"] is False
        # each was idle when it was asked, but something was written meanwhile
        later = [*parts[:place], said("later", events=8), *parts[place + 1 :]]
        assert (status(later)["idle"], status(later)["log"]["events"]) == (False, 8)
    jump = {"jumped_s": 9, "since": "2026-01-01T00:00:00Z", "detail": "x"}
    assert status([said("ingest"), said("rules", clock=jump)])["clock"] == jump


def test_attention_keeps_the_order_of_the_services() -> None:
    assert attention([{"items": [1]}, {"items": []}, {"items": [2, 3]}]) == {"items": [1, 2, 3]}


def page(paths: dict[str, Any], **schemas: Any) -> dict[str, Any]:
    return {
        "openapi": "3.1.0", "info": {"title": "Touchline rules", "version": "1"}, "paths": paths,
        "components": {"schemas": {"Problem": {"type": "object"}, **schemas}},
    }  # fmt: skip


def test_pages_are_united() -> None:
    found = merged([page({"/a": {"get": 1}}, A=1), page({"/a": {"put": 2}, "/b": {"get": 3}}, B=2)])
    assert found["info"]["title"] == "Touchline"
    assert found["paths"] == {"/a": {"get": 1, "put": 2}, "/b": {"get": 3}}
    assert found["components"]["schemas"] == {"Problem": {"type": "object"}, "A": 1, "B": 2}
    with pytest.raises(Contradiction, match="get"):
        merged([page({"/a": {"get": 1}}), page({"/a": {"get": 2}})])
    with pytest.raises(Contradiction, match="A"):
        merged([page({}, A=1), page({}, A=2)])


async def in_pieces(text: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(text), size):
        yield text[at : at + size]


async def taken_apart(text: bytes, size: int) -> tuple[bytes, bytes]:
    head, rest = await head_and_rest(in_pieces(text, size))
    return head, b"".join([piece async for piece in rest])


def record(account: str, services: dict[str, Any]) -> bytes:
    return json.dumps(
        {"account": account, "contact": None, "services": services}, separators=(",", ":"), ensure_ascii=False
    ).encode()


names = st.text(max_size=20) | st.sampled_from(
    ['a,"services":{', '","services":{"', "}}", "\\", 'x","services":{}}']
)


@given(
    account=names,
    services=st.dictionaries(names, st.dictionaries(names, st.lists(st.none() | names)), max_size=3),
    size=st.integers(1, 40),
    space=st.sampled_from(["", "\n"]),
)
async def test_a_record_is_what_it_was_whatever_its_pieces(
    account: str, services: dict[str, Any], size: int, space: str
) -> None:
    text = record(account, services)
    head, inside = await taken_apart(text + space.encode(), size)
    assert head + inside + END == text


@pytest.mark.parametrize(
    "text", [b"", b"{}", b'{"account":"a","services":{"rules":{"triggers":[1,', b"<html>" * 20_000]
)
async def test_what_is_no_whole_record_is_none(text: bytes) -> None:
    with pytest.raises(BadGateway):
        await taken_apart(text, 100)


def giving(name: str, part: Any, break_at: int | None = None, code: int = 200) -> Handler:
    async def answer(asked: Asked, receive: Any, send: Any) -> None:
        await read(receive)
        if asked.path == b"/healthz":
            await reply(send, b"{}")
            return
        text = record("a", {name: part}) + b"\n"
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        if break_at is not None:
            await send({"type": "http.response.body", "body": text[:break_at], "more_body": True})
            return
        for at in range(0, len(text), 50_000):
            await send({"type": "http.response.body", "body": text[at : at + 50_000], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return answer


PATH = "/v1/accounts/a%2Fb/record?contact=c"


def test_the_records_of_all_are_one() -> None:
    large = [{"event": number, "data": "x" * 500} for number in range(10_000)]
    parts: dict[str, Any] = {
        "ingest": {"users": []},
        "rules": {"log": large},
        "actions": {"plays": [], "a": None},
    }
    with town(**{name: giving(name, part) for name, part in parts.items()}) as place:
        found = httpx.get(place.url + PATH)
        assert found.headers["content-type"] == "application/json"
        assert found.json() == {"account": "a", "contact": None, "services": parts}
        assert [service.asked[-1].path.decode() for service in place.services.values()] == [PATH] * 3


def test_a_record_that_lacks_a_service_is_none() -> None:
    with town(**{name: giving(name, {}) for name in ("ingest", "rules", "actions")}) as place:
        place.servers["actions"].stop()
        answer = httpx.get(place.url + PATH)
        assert (answer.status_code, answer.json()["detail"]) == (502, "the actions service cannot be reached")
        assert [asked.path for asked in place.services["ingest"].asked] == [b"/healthz"]


def test_a_refusal_of_one_is_the_answer() -> None:
    with town(ingest=giving("ingest", {}, code=403)) as place:
        assert httpx.get(place.url + PATH).status_code == 403


@pytest.mark.parametrize(
    "broken",
    [giving("actions", {"plays": []}, break_at=60), giving("actions", {}, code=500), giving("x", {}, 5)],
)
def test_a_record_that_breaks_off_is_seen_to(broken: Handler) -> None:
    with (
        town(ingest=giving("ingest", {}), rules=giving("rules", {}), actions=broken) as place,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.get(place.url + PATH)


@pytest.mark.parametrize("text", [b"[]", b"{}", b"no json", b'{"idle": true}', b""])
def test_what_does_not_fit_together_is_an_error(text: bytes) -> None:
    async def odd(_: Asked, receive: Any, send: Any) -> None:
        await read(receive)
        await reply(send, text)

    with town(rules=odd, ingest=odd, actions=odd) as place:
        for path in ("/v1/status", "/v1/attention", "/openapi.json"):
            answer = httpx.get(place.url + path)
            assert (answer.status_code, answer.json()["code"]) == (502, "bad_gateway")


def test_an_answer_without_end_is_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.console.forwarding.relay.MOST_JOINED", 10_000)

    async def long(_: Asked, receive: Any, send: Any) -> None:
        await read(receive)
        await reply(send, b" " * 20_000)

    with town(rules=long) as place:
        answer = httpx.get(f"{place.url}/v1/attention")
        assert (answer.status_code, "more than can be joined" in answer.json()["detail"]) == (502, True)


def test_the_page_of_a_service_that_is_away_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.console.forwarding.own.KEEP_S", 0.0)

    async def give(asked: Asked, receive: Any, send: Any) -> None:
        await read(receive)
        await reply(send, json.dumps(page({"/a": {"get": 1}})).encode())

    with town(ingest=give, rules=give, actions=give) as place:
        first = httpx.get(f"{place.url}/openapi.json")
        assert first.json()["paths"] == {"/a": {"get": 1}}
        place.servers["rules"].stop()
        assert httpx.get(f"{place.url}/openapi.json").content == first.content
    with town() as place:
        place.servers["rules"].stop()
        answer = httpx.get(f"{place.url}/openapi.json")
        assert (answer.status_code, answer.json()["detail"]) == (502, "the rules service cannot be reached")


def test_the_audit_is_asked_for_what_all_did() -> None:
    with town() as place:
        for query in ("", "?limit=2", "?service=rules", "?actor=service=x"):
            httpx.get(f"{place.url}/v1/audit{query}")
        asked = [one.path.decode() for one in place.services["rules"].asked]
    assert asked == [
        "/v1/audit?service=all", "/v1/audit?limit=2&service=all", "/v1/audit?service=rules",
        "/v1/audit?actor=service=x&service=all",
    ]  # fmt: skip
