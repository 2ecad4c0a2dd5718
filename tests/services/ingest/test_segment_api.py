"""Segment's libraries at the door: how they name their key, where they send, and what a web page may do."""

import gzip
import json
import logging
from typing import Any

import pytest

from backbone.web.api_keys import create_key
from tests.services.ingest.kit import Kit

TRACK = {"userId": "ann", "event": "First", "type": "track"}
OURS = "https://app.acme.test"
with_origins = pytest.mark.parametrize(
    "kit", [{"cors_origins": f"{OURS}, https://other.test:8443/"}], indirect=True
)


@pytest.mark.parametrize("kind", ["track", "identify", "group", "page", "screen", "alias", "batch"])
async def test_every_call_is_at_its_first_letter_too(kit: Kit, kind: str) -> None:
    call = {**TRACK, "groupId": "acme"}
    body = {"batch": [call]} if kind == "batch" else call
    for path in (f"/v1/{kind}", f"/v1/{kind[0]}"):
        answer = await kit.segment(path, body)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    made = {"alias": 0, "group": 4}  # a group call makes the user a contact, too
    assert len(kit.events()) == made.get(kind, 2)


async def test_the_key_may_stand_in_the_body(kit: Kit) -> None:
    for body in ({**TRACK, "writeKey": kit.writer}, {"batch": [TRACK], "writeKey": kit.writer}):
        answer = await kit.http.post("/v1/b" if "batch" in body else "/v1/t", json=body)
        assert answer.status_code == 200, answer.text
    packed = gzip.compress(json.dumps({"batch": [TRACK], "writeKey": kit.writer}).encode())

    async def in_pieces() -> Any:
        yield packed[:40]
        yield packed[40:]

    headers = {"content-type": "text/plain", "content-encoding": "gzip"}
    answer = await kit.http.post("/v1/b", content=in_pieces(), headers=headers)  # as the Kotlin library does
    assert answer.status_code == 200, answer.text
    assert [event.type for event in kit.events()] == ["first"] * 3


@pytest.mark.parametrize("key", ["tl_wrong", "", 5, None, ["x"], "k" * 201, "caf\u00e9", "\ud83d"])
async def test_a_key_in_the_body_is_looked_at_like_any_other(kit: Kit, key: Any) -> None:
    body = json.dumps({**TRACK, "writeKey": key}).encode("utf-8")
    answer = await kit.http.post("/v1/track", content=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert kit.events() == []


async def test_a_key_in_the_body_needs_the_scope_and_nothing_but_these_calls_looks_there(kit: Kit) -> None:
    reader = create_key(kit.rooms.db, kit.rooms.clock, "reader", ["rules:read"])
    assert (await kit.http.post("/v1/track", json={**TRACK, "writeKey": reader})).status_code == 403
    event = {"type": "a", "account": "acme", "writeKey": kit.writer}
    assert (await kit.http.post("/v1/events", json=event)).status_code == 401
    wrong = await kit.segment("/v1/track", {**TRACK, "writeKey": kit.writer}, key="tl_wrong")
    assert wrong.status_code == 401  # the header decides where there is one
    assert kit.events() == []


@pytest.mark.parametrize("kit", [{"ingest_rate_limit": 1}], indirect=True)
async def test_a_key_in_the_body_has_the_same_bucket(kit: Kit) -> None:
    calls = {"batch": [TRACK] * 400}
    assert (await kit.segment("/v1/batch", calls)).status_code == 200
    answer = await kit.http.post("/v1/b", json={**calls, "writeKey": kit.writer})
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")


async def test_keys_are_not_logged(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for key in (kit.writer, "tl_wrong"):
            await kit.http.post("/v1/t", json={**TRACK, "writeKey": key})
            await kit.http.get(f"/v1/projects/{key}/settings")
        await kit.http.post("/v1/t", content=b'{"writeKey":"tl_wrong","a":NaN}')
    ours = "".join(str(record) + record.getMessage() for record in caplog.records if record.name != "httpx")
    assert "tl_wrong" not in ours
    assert kit.writer not in ours
    assert "/v1/projects/{key}/settings" in ours
    assert "tl_" not in (await kit.http.get("/metrics")).text


async def test_one_bad_call_leaves_the_others_and_the_key_alone(kit: Kit) -> None:
    bad = b'{"type":"track","event":"a","userId":"x","properties":{"n":"cut \\ud83d"}}'
    good = json.dumps(TRACK).encode()
    body = b'{"batch":[%b,%b,%b],"writeKey":"%b"}' % (good, bad, good, kit.writer.encode())
    answer = await kit.http.post("/v1/batch", content=body)
    assert answer.status_code == 200
    [refused] = answer.json()["rejected"]
    assert refused["field"] == "1.properties"
    assert "half of a surrogate pair" in refused["message"]
    assert [event.type for event in kit.events()] == ["first", "first"]


async def test_the_clock_of_a_phone_is_set_right(kit: Kit) -> None:
    """It is 2026-11-22T09:00:00Z here; a phone nine days behind sends what it saw ten minutes ago."""
    call = {**TRACK, "timestamp": "2026-11-13T08:50:00.000Z"}
    assert (
        await kit.segment("/v1/b", {"batch": [call], "sentAt": "2026-11-13T09:00:00Z"})
    ).status_code == 200
    [event] = kit.events()
    assert str(event.time) == "2026-11-22 08:50:00+00:00"
    assert event.originaltime == call["timestamp"]


@pytest.mark.parametrize("kit", [{"clock": "log"}], indirect=True)
async def test_with_the_log_clock_no_clock_is_wrong(kit: Kit) -> None:
    call = {**TRACK, "timestamp": "2026-11-13T08:50:00.000Z"}
    await kit.segment("/v1/b", {"batch": [call], "sentAt": "2026-11-13T09:00:00Z"})
    assert [str(event.time) for event in kit.events()] == ["2026-11-13 08:50:00+00:00"]


async def test_what_a_library_is_told(kit: Kit) -> None:
    answer = await kit.http.get("/v1/projects/tl_abc/settings")
    assert answer.status_code == 200
    ours = answer.json()["integrations"]
    assert list(ours) == ["Segment.io"]
    assert {**ours["Segment.io"], "apiKey": "tl_abc", "apiHost": "t/v1", "protocol": "http"} == ours[
        "Segment.io"
    ]
    assert answer.json()["metrics"] == {"sampleRate": 0}


@pytest.mark.parametrize("kit", [{"public_url": "https://touch.acme.test/in/"}], indirect=True)
@pytest.mark.parametrize(
    ("headers", "host", "protocol"),
    [
        ({"host": "touch.acme.test"}, "touch.acme.test/in/v1", "https"),
        (
            {"host": "door.acme.test:8081"},
            "door.acme.test:8081/v1",
            "http",
        ),  # the public address is another service's
        # said by anybody; see tests/unit/backbone/test_trusted_proxies.py
        ({"host": "door.acme.test", "x-forwarded-proto": "https"}, "door.acme.test/v1", "http"),
    ],
)
async def test_a_library_is_told_the_address_it_came_by(
    kit: Kit, headers: dict[str, str], host: str, protocol: str
) -> None:
    answer = await kit.http.get("/v1/projects/tl_abc/settings", headers=headers)
    ours = answer.json()["integrations"]["Segment.io"]
    assert (ours["apiHost"], ours["protocol"]) == (host, protocol)
    assert answer.headers["cache-control"] == "no-store"


async def preflight(kit: Kit, path: str, origin: str) -> Any:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-retry-count",
    }
    return await kit.http.options(path, headers=asked)


@with_origins
@pytest.mark.parametrize("path", ["/v1/t", "/v1/track", "/v1/batch", "/v1/projects/tl_abc/settings"])
async def test_a_page_of_ours_may_call(kit: Kit, path: str) -> None:
    for origin in (OURS, "https://other.test:8443"):
        asked = await preflight(kit, path, origin)
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == origin
        assert "x-retry-count" in asked.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in (await preflight(kit, path, "https://evil.test")).headers


@with_origins
async def test_a_page_sees_the_answers_also_the_refusals(kit: Kit) -> None:
    for key, status in ((kit.writer, 200), ("tl_wrong", 401)):
        answer = await kit.segment("/v1/t", TRACK, key=key, origin=OURS)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == OURS
        assert "access-control-allow-credentials" not in answer.headers
    large = await kit.segment("/v1/t", b"x" * 1_048_577, origin=OURS)
    assert (large.status_code, large.headers["access-control-allow-origin"]) == (413, OURS)
    stranger = await kit.segment("/v1/t", TRACK, origin="https://evil.test")
    assert "access-control-allow-origin" not in stranger.headers


@with_origins
@pytest.mark.parametrize(
    "path", ["/v1/events", "/v1/accounts/acme", "/v1/status", "/metrics", "/v1/projects/x"]
)
async def test_a_page_may_call_nothing_else(kit: Kit, path: str) -> None:
    asked = await preflight(kit, path, OURS)
    assert asked.status_code in {404, 405}
    got = await kit.http.get(path, headers={"origin": OURS})
    assert not [name for name in (*asked.headers, *got.headers) if name.startswith("access-control")]


async def test_without_origins_no_page_may_call(kit: Kit) -> None:
    assert (await preflight(kit, "/v1/t", OURS)).status_code == 405
    answer = await kit.segment("/v1/t", TRACK, origin=OURS)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_refusals_name_what_their_calls_have(kit: Kit) -> None:
    calls = [
        {**TRACK, "properties": {"x": "\0"}},
        {"type": "identify", "userId": "ann", "traits": {"name": "x" * 2_000}},
        {"type": "identify", "userId": "ann", "traits": {"x": "\0"}},
        {**TRACK, "timestamp": "0001-01-01T00:00:00Z"},
        TRACK,
    ]
    answer = await kit.segment("/v1/batch", {"batch": calls})
    assert [one["field"] for one in answer.json()["rejected"]] == [
        "0.properties", "1.traits.name", "2.traits", "3.timestamp",
    ]  # fmt: skip
    long = "x" * 300
    ids: list[dict[str, object]] = [
        {"type": "track", "event": "A", "userId": long},
        {"type": "track", "event": "A", "anonymousId": long},
        {"type": "track", "event": "A", "userId": "ann", "context": {"groupId": long}},
        {"type": "group", "userId": "ann", "groupId": long},
        {"type": "group", "userId": long, "groupId": "acme"},
        {"type": "track", "event": long, "userId": "ann"},
        TRACK,
    ]
    answer = await kit.segment("/v1/batch", {"batch": ids})
    assert [one["field"] for one in answer.json()["rejected"]] == [
        "0.userId", "1.anonymousId", "2.context.groupId", "3.groupId", "4.userId", "5.event",
    ]  # fmt: skip
