"""What the console passes on to a service, and back: byte for byte, while it arrives, and within limits."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from typing import Any

import httpx
import pytest

from tests.unit.console.fakes import Asked, problem, raw, read, reply, town


def test_a_request_arrives_as_it_was_sent() -> None:
    body = gzip.compress(b'{"type": "x"}') + bytes(range(256))
    with town() as place:
        answer = httpx.post(
            f"{place.url}/v1/hooks/crm%2Fa?b=%22c%22&b=2&sig=a+b",
            content=body,
            headers={
                "Authorization": "Bearer tl_x", "Idempotency-Key": "k1", "If-Match": '"3"', "traceparent": "00-1-2-01",
                "Content-Encoding": "gzip", "Content-Type": "text/plain; charset=x", "User-Agent": "stripe/1",
                "Stripe-Signature": "t=1,v1=é".encode(), "Cookie": "touchline_session=secret", "X-Custom": "1",
            },
        )  # fmt: skip
        (asked,) = place.services["ingest"].asked
    assert answer.json() == {
        "service": "ingest",
        "path": "/v1/hooks/crm%2Fa?b=%22c%22&b=2&sig=a+b",
        "got": len(body),
    }
    assert asked.body == body
    for name, value in {
        "authorization": "Bearer tl_x", "idempotency-key": "k1", "if-match": '"3"', "traceparent": "00-1-2-01",
        "content-encoding": "gzip", "content-type": "text/plain; charset=x", "stripe-signature": "t=1,v1=é",
        "user-agent": "stripe/1", "x-custom": "1", "content-length": str(len(body)),
    }.items():  # fmt: skip
        assert asked.header(name) == [value]
    assert asked.header("cookie") == []  # the session of the pages is nobody else's business


def test_what_is_between_neighbours_is_not_passed_on() -> None:
    with town() as place:
        raw(
            place.url,
            b"POST /v1/events HTTP/1.1\r\nhost: app.acme.test\r\nconnection: close, x-mine\r\n"
            b"x-mine: 1\r\nte: trailers\r\n"
            b"keep-alive: 5\r\nproxy-authorization: x\r\nupgrade: h2c\r\nx-latin: caf\xe9\r\n"
            b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        )
        (asked,) = place.services["ingest"].asked
    names = {name for name, _ in asked.headers}
    assert names.isdisjoint(
        {b"x-mine", b"te", b"keep-alive", b"proxy-authorization", b"upgrade", b"x-latin", b"content-type"}
    )
    assert asked.header("host") == ["app.acme.test"]  # for a service that trusts the console
    assert asked.body == b"abc"


def test_the_console_says_itself_who_asks() -> None:
    lies = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Real-IP": "6.6.6.6",
            "Forwarded": "for=6.6.6.6", "X-Forwarded-Host": "evil.test", "Host": "app.acme.test"}  # fmt: skip
    with town() as place:
        httpx.get(f"{place.url}/v1/rules", headers=lies)
        (asked,) = place.services["rules"].asked
    assert asked.header("x-forwarded-for") == ["127.0.0.1"]
    assert asked.header("x-forwarded-proto") == ["http"]
    assert asked.header("x-forwarded-host") == ["app.acme.test"]
    assert asked.header("x-real-ip") == asked.header("forwarded") == []


@pytest.mark.parametrize(
    "target", [b'/v1/hooks/a/../b?x=%7e&y="z"', b"/v1/rules//a;b", b"/%761/rules/x", b"/v1/tasks?a=1?b"]
)
def test_an_address_is_passed_on_as_it_is(target: bytes) -> None:
    """Signatures may cover it."""
    with town() as place:
        raw(place.url, b"GET " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert [asked.path for each in place.services.values() for asked in each.asked] == [target]


def test_an_answer_comes_back_as_it_was_given() -> None:
    packed = gzip.compress(b"[1, 2]")

    async def answer(_: Asked, receive: Any, send: Any) -> None:
        await read(receive)
        await reply(
            send, packed, 201,
            (b"content-type", b"application/json"), (b"content-encoding", b"gzip"), (b"etag", b'"7"'),
            (b"location", b"/v1/rules/a%2Fb"), (b"retry-after", b"9"), (b"access-control-allow-origin", b"https://x.test"),
            (b"vary", b"Origin"), (b"vary", b"Accept"), (b"www-authenticate", b"Bearer"), (b"next-cursor", b"c"),
            (b"connection", b"x-hop"), (b"x-hop", b"1"),
        )  # fmt: skip

    with town(rules=answer) as place, httpx.stream("POST", f"{place.url}/v1/rules", content=b"{}") as found:
        body = b"".join(found.iter_raw())
    assert (found.status_code, body) == (201, packed)
    assert [found.headers[name] for name in ("etag", "location", "retry-after", "content-encoding", "next-cursor")] == [
        '"7"', "/v1/rules/a%2Fb", "9", "gzip", "c"
    ]  # fmt: skip
    assert found.headers.get_list("vary") == ["Origin", "Accept"]
    assert "x-hop" not in found.headers
    assert len(found.headers.get_list("date")) == 1


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_the_callers_to_follow(status: int) -> None:
    async def answer(_: Asked, receive: Any, send: Any) -> None:
        await read(receive)
        await reply(send, b"", status, (b"location", b"http://127.0.0.1:1/elsewhere"))

    with town(actions=answer) as place:
        found = httpx.post(f"{place.url}/u/token", content=b"x", follow_redirects=False)
    assert (found.status_code, found.headers["location"]) == (status, "http://127.0.0.1:1/elsewhere")


def test_heads_and_empty_answers() -> None:
    async def answer(asked: Asked, receive: Any, send: Any) -> None:
        await read(receive)
        if asked.method == "HEAD":
            await reply(send, b"", 200, (b"content-length", b"1234"))
        else:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    with town(ingest=answer, rules=answer) as place, httpx.Client(base_url=place.url) as client:
        assert client.head("/v1/hooks/crm").headers["content-length"] == "1234"
        for _ in range(3):
            assert client.delete("/v1/rules/x").status_code == 204
        assert client.head("/v1/hooks/crm").content == b""


def test_large_bodies_are_passed_on_while_they_arrive() -> None:
    """The service has the first part while the caller still holds the second back."""
    first = threading.Event()

    async def answer(asked: Asked, receive: Any, send: Any) -> None:
        while len(asked.body) < 10_000:
            asked.body += (await receive())["body"]
        first.set()
        asked.body += await read(receive)
        await reply(send, b"%d" % len(asked.body))

    def body() -> Any:
        yield b"a" * 10_000
        assert first.wait(10)
        for _ in range(80):
            yield b"b" * 100_000

    with town(actions=answer) as place:
        assert httpx.post(f"{place.url}/v1/rehearsals", content=body(), timeout=60).text == str(8_010_000)


def test_large_answers_are_passed_on_while_they_are_made() -> None:
    seen = threading.Event()

    async def answer(_: Asked, receive: Any, send: Any) -> None:
        await read(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        while not seen.is_set():
            await asyncio.sleep(0.01)
        for _ in range(300):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with (
        town(rules=answer) as place,
        httpx.stream("GET", f"{place.url}/v1/export/triggers", timeout=60) as found,
    ):
        pieces = found.iter_raw()
        assert next(pieces) == b"first"
        seen.set()
        assert sum(map(len, pieces)) == 30_000_000


def test_a_refusal_before_the_end_of_a_body_reaches_its_sender() -> None:
    """The service answers 401 to the headers alone, and closes; the caller would go on for long."""

    async def refuse(_: Asked, _receive: Any, send: Any) -> None:
        await reply(send, b'{"code": "unauthorized"}', 401, (b"content-type", b"application/problem+json"))

    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
    with town(ingest=refuse) as place:
        found = raw(place.url, head, b"x" * 1000)
    assert found.startswith(b"HTTP/1.1 401 ")
    assert b'{"code": "unauthorized"}' in found
    assert b"connection: close" in found.lower()


def test_a_body_beyond_the_limit_of_a_service_gets_the_services_answer() -> None:
    async def refuse(asked: Asked, receive: Any, send: Any) -> None:
        while len(asked.body) < 1_048_577:
            asked.body += (await receive())["body"]
        await reply(send, b'{"code": "request_too_large"}', 413)

    with town(ingest=refuse) as place:
        for _ in range(3):
            found = httpx.post(f"{place.url}/v1/events", content=b"x" * 3_000_000, timeout=30)
            assert (found.status_code, found.json()) == (413, {"code": "request_too_large"})


def test_what_no_service_answers() -> None:
    with town() as place, httpx.Client(base_url=place.url) as client:
        for path in ("/v1/nothing", "/v1/", "/v1/export/nothing", "/v1", "/nothing"):
            assert problem(client.get(path)) == (404, "not_found", f"there is nothing at {path}")
        assert problem(client.post("/healthz"))[0] == 405
        assert all(not service.asked for service in place.services.values())


def test_metrics_count_by_the_first_part_of_a_path() -> None:
    with town() as place, httpx.Client(base_url=place.url) as client:
        client.get("/v1/rules/some-name/versions")
        client.get("/u/a-secret-token")
        said = client.get("/metrics").text
    assert 'touchline_http_requests_total{method="GET",route="/v1/rules",status="200"}' in said
    assert 'route="/u/…"' in said
    assert "a-secret-token" not in said
    assert "some-name" not in said


def test_the_docs_page_is_the_consoles_own() -> None:
    with town() as place, httpx.Client(base_url=place.url) as client:
        page = client.get("/docs").text
        script = page.partition('<script src="')[2].partition('"')[0]
        assert client.get(f"/{script}").status_code == 200
        assert client.head("/docs").status_code == 200
        assert all(not service.asked for service in place.services.values())


def test_json_is_what_json_was() -> None:
    """Numbers and duplicate keys are nobody's to tidy up."""
    odd = b'{"a": 1.0e400, "a": 12345678901234567890, "\\ud800": "\xff"}'
    with town() as place:
        httpx.post(f"{place.url}/v1/events", content=odd)
        assert place.services["ingest"].asked[0].body == odd
    with pytest.raises(UnicodeDecodeError):
        json.loads(odd)
