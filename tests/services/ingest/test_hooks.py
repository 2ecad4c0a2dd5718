"""Hooks of other systems: verified, mapped, durable before the answer; what is refused leaves nothing behind."""

import gzip
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.settings import load_settings
from backbone.web.api_keys import ensure_admin_key
from schemas.event import Event
from services.app import open_runtime
from services.ingest.sources.bodies import MAX_DEPTH
from tests.conftest import KafkaServer
from tests.migrated import migrated
from tests.services.ingest.kit import NOW, Kit
from tests.unit.ingest.sources.test_verify import Headers, digest, stripe

NOW_S = NOW // 1_000_000
SECRET = "whsec_our_secret"
EVENT = {
    "type": "deal.won",
    "id": "id",
    "account": {"id": "account", "create": True},
    "data": {"amount": "amount"},
}
SOURCE = {
    "verify": {"scheme": "stripe", "secret": SECRET},
    "each": "items || @",
    "events": [{"when": "kind == 'won'", **EVENT}],
}
WON = {"kind": "won", "id": "1", "account": "acme", "amount": 5}
COUNTS = {"accepted": 0, "ignored": 0, "unmatched": 0, "rejected": 0}


async def save(kit: Kit, name: str = "crm", source: Any = SOURCE, **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {kit.admin}", **headers}
    return await kit.http.put(f"/v1/sources/{name}", json=source, headers=sent)


@pytest.fixture
async def large(kafka: KafkaServer, fresh_postgres_url: str, tmp_path: Path) -> AsyncIterator[Kit]:
    """The same on Kafka and PostgreSQL."""
    with closing(Database(fresh_postgres_url)) as database:
        migrated(database)
    given: dict[str, Any] = {
        "database_url": fresh_postgres_url,
        "kafka_bootstrap_servers": kafka.bootstrap_servers,
    }
    settings = load_settings(data_dir=tmp_path / "data", secret_key="sixteen letters and more", **given)
    with open_runtime(settings, ["ingest"], clock=ManualClock(NOW)) as rooms:
        ensure_admin_key(rooms.db, rooms.clock, settings.data_dir / "admin.key")
        made = Kit(rooms)
        yield made
        await made.http.aclose()


@pytest.mark.kafka
@pytest.mark.postgres
async def test_on_the_large_stack(large: Kit) -> None:
    await save(large)
    items = [WON, {"kind": "lost"}, {**WON, "id": ["x"]}, {**WON, "id": "2"}]
    before = len(large.events())
    assert (await hook(large, WON, headers={})).status_code == 401
    assert len(large.events()) == before
    assert (await hook(large, {"items": items})).json() == COUNTS | {
        "accepted": 2,
        "ignored": 1,
        "rejected": 1,
    }
    assert names(large.events()[before:]) == [("1", "acme", "crm"), ("2", "acme", "crm")]


async def shown(kit: Kit, path: str) -> Any:
    return (await kit.http.get(path, headers={"authorization": f"Bearer {kit.admin}"})).json()


async def hook(kit: Kit, body: Any, *, headers: Headers | None = None, to: str = "crm") -> httpx.Response:
    """Send a hook without any API key; signed unless headers are given."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signed = stripe(SECRET, raw, NOW_S) if headers is None else headers
    return await kit.http.post(f"/v1/hooks/{to}", content=raw, headers=signed)


def names(events: list[Event]) -> list[tuple[str, str | None, str]]:
    return sorted((one.id, one.account, one.source) for one in events)


async def test_a_hook_becomes_events_of_its_source(kit: Kit) -> None:
    assert (await save(kit)).status_code == 201
    answer = await hook(kit, WON)
    assert (answer.status_code, answer.json()) == (200, COUNTS | {"accepted": 1})
    [event] = kit.events()
    assert (event.type, event.source, event.id, event.account) == ("deal.won", "crm", "1", "acme")
    assert (event.data, event.unvouched) == ({"amount": 5}, False)


async def test_each_element_is_counted_and_a_bad_one_takes_no_other_with_it(kit: Kit) -> None:
    await save(kit)
    items = [
        WON,
        {"kind": "lost"},
        {**WON, "id": ["x"]},
        {**WON, "id": "2"},
        {**WON, "account": None},
        {**WON, "amount": "\ud800"},
    ]
    with capture_logs() as logs:
        answer = await hook(kit, {"items": items})
    assert answer.json() == {"accepted": 2, "ignored": 1, "unmatched": 0, "rejected": 3}
    [told] = [one for one in logs if one["event"] == "elements_rejected"]
    assert (told["source"], told["rejected"]) == ("crm", 3)
    assert told["why"] == ["account: required", "data.amount: invalid", "id: invalid"]
    assert names(kit.events()) == [("1", "acme", "crm"), ("2", "acme", "crm")]
    for nothing in ({"items": []}, {"items": [{"kind": "lost"}]}):
        assert (await hook(kit, nothing)).status_code == 200
    unknown = {"external_id": "account"}
    await save(kit, source={**SOURCE, "events": [{**SOURCE["events"][0], "account": unknown}]})  # type: ignore[index]
    assert (await hook(kit, {**WON, "id": "3"})).json() == COUNTS | {"unmatched": 1}


FORGED: list[Headers] = [
    {},
    {"Stripe-Signature": ""},
    stripe("another secret", json.dumps(WON).encode(), NOW_S),
    stripe(SECRET, b"another body", NOW_S),
    stripe(SECRET, json.dumps(WON).encode(), NOW_S - 301),  # replayed
    stripe(SECRET, json.dumps(WON).encode(), NOW_S + 301),
    {"Authorization": "Basic Y3JtOg=="},
]


@pytest.mark.parametrize("headers", FORGED)
async def test_what_does_not_prove_where_it_comes_from_leaves_nothing(kit: Kit, headers: Headers) -> None:
    await save(kit)
    answer = await hook(kit, WON, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unverified")
    assert kit.events() == []


async def test_an_api_key_does_not_stand_in_for_a_signature(kit: Kit) -> None:
    await save(kit)
    assert (await hook(kit, WON, headers={"Authorization": f"Bearer {kit.admin}"})).status_code == 401
    assert (await hook(kit, WON, to="nobody")).status_code == 404
    assert kit.events() == []


async def test_get_and_head_answer(kit: Kit) -> None:
    await save(kit)
    for method in ("GET", "HEAD"):
        assert (await kit.http.request(method, "/v1/hooks/crm?anything=1")).status_code == 200
        assert (await kit.http.request(method, "/v1/hooks/nobody")).status_code == 404


async def test_the_url_that_was_called_is_signed(kit: Kit) -> None:
    base64 = {"scheme": "hmac", "header": "X-Sig", "encoding": "base64", "timestamp": "X-Time"}
    await save(
        kit,
        source={**SOURCE, "verify": {**base64, "signed": "{method}{url}{body}{timestamp}", "secret": SECRET}},
    )
    raw = json.dumps(WON).encode()
    called = "/v1/hooks/crm?a=1&b=%20"
    stamp = f"{NOW_S}000"
    url = f"{kit.rooms.settings.base_url}{called}"
    signed = b64encode(digest(SECRET, b"POST" + url.encode() + raw + stamp.encode())).decode()
    good = {"X-Sig": signed, "X-Time": stamp}
    assert (await kit.http.post("/v1/hooks/crm?a=1", content=raw, headers=good)).status_code == 401
    assert (await kit.http.post(called, content=raw, headers=good)).json() == COUNTS | {"accepted": 1}


async def test_forms_xml_and_gzip(kit: Kit) -> None:
    open_ = {
        **SOURCE,
        "verify": {"scheme": "token", "query": "token", "secret": "t"},
        "each": "@ | envelope.deal || @",
    }
    await save(kit, source=open_)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (
        await hook(kit, b"kind=won&id=f&account=acme", headers=form, to="crm?token=t")
    ).json() == COUNTS | {"accepted": 1}
    xml = (
        b"<e:envelope xmlns:e='e'><deal><kind>won</kind><id>x</id><account>acme</account></deal></e:envelope>"
    )
    assert (await hook(kit, xml, headers={"content-type": "text/xml"}, to="crm?token=t")).json() == COUNTS | {
        "accepted": 1
    }
    packed = gzip.compress(json.dumps(WON).encode())
    assert (
        await hook(kit, packed, headers={"content-encoding": "gzip"}, to="crm?token=t")
    ).json() == COUNTS | {"accepted": 1}
    assert names(kit.events()) == [("1", "acme", "crm"), ("f", "acme", "crm"), ("x", "acme", "crm")]


SLOW = "body()[?body()[?body()[?@ == `1`]]]"
BOMB = " | ".join(["[@, @]"] * 30)
OPEN = {"verify": {"scheme": "none"}, "events": [EVENT]}
HOSTILE: list[tuple[Any, Any, Headers, int]] = [
    (OPEN, b"", {}, 400), (OPEN, b"{", {}, 400), (OPEN, b"[" * 500_000, {}, 400),
    (OPEN, b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), {}, 400),
    (OPEN, b"[" + b"1," * 400_000 + b"1]", {}, 400), (OPEN, b"[" + b"1," * 500 + b"1]", {}, 413),
    (OPEN, b"9" * 1_000_000, {}, 400), (OPEN, b" " * 1_048_577, {}, 413),
    (OPEN, gzip.compress(b" " * 50_000_000), {"content-encoding": "gzip"}, 413),
    (OPEN, b"x", {"content-encoding": "gzip"}, 400), (OPEN, b"{}", {"content-encoding": "br"}, 415),
    (OPEN, b"<!DOCTYPE a [<!ENTITY b 'b'>]><a>&b;</a>", {"content-type": "text/xml"}, 400),
    (OPEN, b"<a>" * 100_000, {"content-type": "text/xml"}, 400),
    (OPEN, b"a=1&" * 200_000, {"content-type": "application/x-www-form-urlencoded"}, 400),
    (OPEN, b"--x", {"content-type": "multipart/form-data; boundary=x"}, 400),
    ({**OPEN, "each": SLOW}, [1] * 400, {}, 422), ({**OPEN, "challenge": SLOW}, [1] * 400, {}, 422),
    ({**OPEN, "events": [{**EVENT, "when": SLOW}]}, [1] * 400, {}, 422),
    ({**OPEN, "events": [{**EVENT, "data": {"d": BOMB}}]}, WON, {}, 422),
]  # fmt: skip


@pytest.mark.parametrize(("source", "body", "headers", "status"), HOSTILE)
async def test_hostile_bodies_and_mappings_leave_nothing(
    kit: Kit, source: Any, body: Any, headers: Headers, status: int
) -> None:
    assert (await save(kit, source=source)).status_code == 201
    answer = await hook(kit, body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert kit.events() == []


async def test_a_change_is_the_moment_it_is_answered(kit: Kit) -> None:
    for number in range(3):
        await save(kit, source={**OPEN, "events": [{**EVENT, "type": f"t{number}"}]})
        await hook(kit, {**WON, "id": str(number)}, headers={})
    assert sorted(one.type for one in kit.events()) == ["t0", "t1", "t2"]
    admin = {"authorization": f"Bearer {kit.admin}"}
    assert (await kit.http.delete("/v1/sources/crm", headers=admin)).status_code == 204
    assert (await hook(kit, WON, headers={})).status_code == 404


async def test_answer_and_challenge(kit: Kit) -> None:
    ack = "<ack>true</ack>"
    await save(
        kit,
        source={
            **SOURCE,
            "challenge": "challenge",
            "answer": {"status": 202, "content_type": "text/xml", "body": ack},
        },
    )
    answer = await hook(kit, WON)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (202, ack, "text/xml")
    answer = await hook(kit, {**WON, "challenge": "<b>abc", "id": "2"})
    assert (answer.status_code, answer.text) == (200, "<b>abc")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await hook(kit, {"challenge": "abc"}, headers={})).status_code == 401
    assert names(kit.events()) == [("1", "acme", "crm")]


async def test_an_answer_is_made_of_the_body(kit: Kit) -> None:
    wanted = {"body": {"action": "kind", "status": "'success'"}}
    await save(kit, source={**SOURCE, "answer": wanted})
    answer = await hook(kit, WON)
    assert (answer.status_code, answer.json()) == (200, {"action": "won", "status": "success"})
    assert answer.headers["content-type"] == "application/json"
    refused = await hook(kit, {**WON, "id": "2", "kind": "\ud800"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "answer")
    assert names(kit.events()) == [("1", "acme", "crm")]


async def test_a_source_that_is_probably_wrong_is_saved_with_a_warning(kit: Kit) -> None:
    made = await save(kit, source={**OPEN, "events": [{"type": "x", "account": {"id": "a"}}, EVENT]})
    assert [one["field"] for one in made.json()["warnings"]] == ["verify", "events.1.when"]
    assert not (await save(kit)).json().get("warnings")


async def test_secrets_are_kept_and_never_shown(kit: Kit) -> None:
    made = await save(kit)
    assert made.json()["verify"] == {"scheme": "stripe", "secret": "***"}
    for verify in ({"scheme": "stripe"}, {"scheme": "stripe", "secret": "***"}):
        assert (await save(kit, source={**SOURCE, "verify": verify})).status_code == 200
        assert (await hook(kit, {**WON, "id": str(verify)})).status_code == 200
    both = await save(kit, source={**SOURCE, "verify": {"scheme": "stripe", "secret": ["***", "next"]}})
    assert both.json()["verify"]["secret"] == ["***", "***"]
    raw = json.dumps(WON).encode()
    for secret, status in ((SECRET, 200), ("next", 200), ("***", 401), ("", 401)):
        assert (await hook(kit, WON, headers=stripe(secret, raw, NOW_S))).status_code == status
    await save(kit, source={**SOURCE, "verify": {"scheme": "stripe", "secret": "next"}})
    assert (await hook(kit, WON)).status_code == 401
    seen = [
        await shown(kit, path)
        for path in ("/v1/sources", "/v1/sources/crm", "/v1/sources/crm/versions", "/v1/audit")
    ]
    assert SECRET not in json.dumps(seen)
    assert '"next"' not in json.dumps(seen)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"events": [EVENT | {"id": "x" * 1_900}] * 80}, ""),
    ({"verify": {"scheme": "stripe"}}, "verify.secret"), ({"verify": {}}, "verify.scheme"),
    *(({"verify": {"scheme": "stripe", "secret": one}}, "verify.secret") for one in ("***", "${STRIPE_SECRET}")),
    ({"verify": {"scheme": "basic", "username": "x"}}, "verify.password"), ({"each": "sort(@)"}, "each"),
    ({"verify": {"scheme": "hmac", "header": "X", "secret": "s", "signed": "{body}{timestamp}"}}, "verify"),
    ({"events": [{**EVENT, "type": "account.deleted"}]}, "events.0.type"),
    ({"events": [{**EVENT, "type": "touchline.clock"}]}, "events.0.type"),
    ({"events": [{**EVENT, "when": "a["}]}, "events.0.when"), ({"events": []}, "events"),
    ({"events": [{**EVENT, "data": {"a": {"b": "nope(@)"}}}]}, "events.0.data.a.b"),
    ({"events": [{**EVENT, "account": [{"id": "a"}, {"email": "&x"}]}]}, "events.0.account.1.email"),
    ({"answer": {"status": 500}}, "answer.status"), ({"answer": {"body": {"a": "b["}}}, "answer.body.a"),
    ({"answer": {"body": {"a": "b"}, "content_type": "text/html"}}, "answer"), ({"nonsense": 1}, "nonsense"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field"), REFUSED, ids=[field for _, field in REFUSED])
async def test_what_cannot_be_saved_is_named_by_its_field(
    kit: Kit, change: dict[str, Any], field: str
) -> None:
    answer = await save(kit, source={**SOURCE, **change})
    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json()["errors"]] == [field]


async def test_it_is_a_document_with_versions(kit: Kit) -> None:
    made = await save(kit)
    assert made.headers["etag"] == '"1"'
    assert (await save(kit, **{"if-match": '"7"'})).status_code == 412
    await save(kit, source={**SOURCE, "each": "nothing"}, **{"if-match": '"1"'})
    assert (await hook(kit, WON)).json() == COUNTS
    headers = {"authorization": f"Bearer {kit.admin}"}
    assert (await kit.http.post("/v1/sources/crm/versions/1/publish", headers=headers)).status_code == 200
    assert (await hook(kit, WON)).json() == COUNTS | {"accepted": 1}  # with the secret that it had
    [entry] = [one for one in (await shown(kit, "/v1/audit"))["items"] if one["version"] == 2]
    assert (entry["object"], entry["after"]["verify"]["secret"]) == ("source/crm", "***")


async def test_preview_shows_the_events_and_why_others_become_none(kit: Kit) -> None:
    update = {
        "when": "kind == 'upd'",
        "type": "account.updated",
        "account": {"external_id": "org"},
        "data": {"tier": "tier"},
    }
    await save(kit, source={**SOURCE, "events": [*SOURCE["events"], update]})  # type: ignore[misc]
    items = [
        WON,
        {"kind": "upd", "org": 7, "tier": "gold"},
        {"kind": "lost"},
        {**WON, "id": {}},
        {"kind": "upd", "org": 7, "tier": "low"},
    ]
    call = {"authorization": f"Bearer {kit.admin}"}
    body = (
        await kit.http.post("/v1/sources/crm/preview", json={"body": {"items": items}}, headers=call)
    ).json()
    first, last = body["events"]
    assert (first["index"], first["id"], first["tried"]) == (
        0,
        "1",
        [{"way": "id", "system": None, "value": "acme"}],
    )
    assert (last["index"], last["data"], last["tried"][0]["system"]) == (4, {"tier": "low"}, "crm")
    assert (first["accounts"], last["accounts"]) == (["acme"], [])
    assert [(one["index"], one["reason"], one["field"]) for one in body["left_out"]] == [
        (1, "rejected", "data.tier"), (2, "ignored", ""), (3, "rejected", "id"),
    ]  # fmt: skip
    raw = {
        "body": "kind=won&id=1&account=acme",
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    body = (await kit.http.post("/v1/sources/crm/preview", json=raw, headers=call)).json()
    assert [one["id"] for one in body["events"]] == ["1"]
    assert (await kit.http.post("/v1/sources/nobody/preview", json=raw, headers=call)).status_code == 404
    assert kit.events() == []
