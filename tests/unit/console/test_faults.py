"""When a service is away, hangs or breaks off, and when callers are slow: what it costs, and whom."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest

from backbone.errors import ConfigurationError
from backbone.settings import Settings
from deploy.local.process import wait_until
from services.console.forwarding import own, relay
from services.console.forwarding.app import gateway_of
from services.console.forwarding.held import HeldRequests
from services.console.forwarding.upstream import Body
from tests.unit.console.fakes import Asked, Town, problem, raw, read, reply, town


def test_a_service_that_is_away_takes_only_its_own_paths_along() -> None:
    with town() as place, httpx.Client(base_url=place.url) as client:
        place.servers["rules"].stop()
        url = place.servers["rules"].url
        answer = client.get("/v1/rules")
        assert problem(answer) == (502, "service_unreachable", "the rules service cannot be reached")
        assert answer.headers["retry-after"] == "1"
        assert url.rpartition(":")[2] not in answer.text
        assert problem(client.post("/v1/rules", content=b"x" * 100_000))[0] == 502
        for path, name in (("/v1/tasks", "actions"), ("/v1/sources", "ingest"), ("/u/x", "actions")):
            assert client.get(path).json()["service"] == name
        assert client.get("/readyz").json() == {
            "status": "ready", "checks": {"ingest": True, "rules": False, "actions": True}
        }  # fmt: skip
        # what any can answer, another one does
        assert client.get("/v1/me").json()["service"] == "actions"
        assert client.post("/v1/keys", content=b"{}").json() == {
            "service": "actions",
            "path": "/v1/keys",
            "got": 2,
        }
        assert problem(client.get("/v1/status"))[2] == "the rules service cannot be reached"
        for name in ("ingest", "actions"):
            place.servers[name].stop()
        assert client.get("/readyz").status_code in {200, 503}
        assert problem(client.get("/v1/me"))[2] == "the ingest service cannot be reached"
        wait_until("nothing is there", lambda: client.get("/readyz").status_code == 503, 10)
        assert client.get("/healthz").status_code == 200


@contextmanager
def hanging(**more: Any) -> Iterator[Town]:
    """The rules service answers nothing, until the end."""
    over = threading.Event()

    async def hang(_: Asked, _receive: Any, send: Any) -> None:
        while not over.is_set():
            await asyncio.sleep(0.01)
        await reply(send)

    with town(rules=hang, **more) as place:
        try:
            yield place
        finally:
            over.set()


def test_a_service_that_hangs_takes_only_its_own_paths_along() -> None:
    with hanging(silent_s=0.3) as place, httpx.Client(base_url=place.url, timeout=20) as client:
        assert problem(client.get("/v1/rules")) == (
            504, "service_timeout", "the rules service did not answer in time"
        )  # fmt: skip
        assert client.get("/v1/tasks").status_code == 200


def test_what_is_joined_waits_less_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page of the console needs it."""
    monkeypatch.setattr(relay.read_whole, "__kwdefaults__", {"query": None, "within_s": 2.0})
    monkeypatch.setattr(own, "THERE_S", 2.0)
    with hanging() as place, httpx.Client(base_url=place.url, timeout=20) as client:
        assert problem(client.get("/v1/attention"))[:2] == (504, "service_timeout")
        assert client.get("/readyz").json()["checks"] == {"ingest": True, "rules": False, "actions": True}


async def test_a_body_is_sent_once() -> None:
    """aiohttp tries a PUT again over a new connection, if that which it had kept was closed meanwhile."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b"all", "more_body": False}

    async with HeldRequests("rules").hold("1.2.3.4") as held:
        body = Body(receive, held)
        assert [piece async for piece in aiter(body)] == [b"all"]
        with pytest.raises(aiohttp.ClientConnectionError):
            aiter(body)


def test_no_more_wait_for_a_service_than_may() -> None:
    with (
        hanging(most=5) as place,
        httpx.Client(base_url=place.url, timeout=20) as client,
        ExitStack() as stack,
    ):
        host, port = urlsplit(place.url).hostname or "", urlsplit(place.url).port or 0
        for _ in range(5):
            line = stack.enter_context(socket.create_connection((host, port), 20))
            line.sendall(b"GET /v1/rules HTTP/1.1\r\nhost: x\r\n\r\n")
        wait_until("five wait", lambda: len(place.services["rules"].asked) == 5, 10)
        answer = client.get("/v1/rules")
        assert problem(answer) == (503, "service_busy", "too many requests wait for the rules service")
        assert answer.headers["retry-after"] == "1"
        assert client.get("/v1/tasks").status_code == 200


def test_an_answer_that_breaks_off_breaks_off() -> None:
    async def answer(_: Asked, receive: Any, send: Any) -> None:
        await read(receive)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"x" * 10, "more_body": True})
        raise RuntimeError("dead")

    with town(rules=answer) as place, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{place.url}/v1/rules")


def test_a_caller_who_leaves_is_forgotten_by_the_service_too() -> None:
    left = threading.Event()

    async def answer(asked: Asked, receive: Any, send: Any) -> None:
        if asked.method == "GET":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            asked.body = await read(receive)
        left.set()

    with town(rules=answer) as place:
        for head in (b"GET /v1/rules HTTP/1.1\r\nhost: x\r\n\r\n",
                     b"POST /v1/rules HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc"):  # fmt: skip
            left.clear()
            asked = len(place.services["rules"].asked)
            line = socket.create_connection(
                (urlsplit(place.url).hostname or "", urlsplit(place.url).port or 0), 10
            )
            line.sendall(head)
            wait_until("it is asked", lambda asked=asked: len(place.services["rules"].asked) > asked, 10)
            line.close()
            # of a GET it hears with the next piece that it has
            if head.startswith(b"POST"):
                assert left.wait(10)


def test_slow_senders_make_room_for_others() -> None:
    """As many as may wait for a service send nothing more; whoever comes next is served all the same."""
    with town(most=5) as place:
        host, port = urlsplit(place.url).hostname or "", urlsplit(place.url).port or 0
        slow = [socket.create_connection((host, port), 20) for _ in range(5)]
        for line in slow:
            line.sendall(b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc")
        wait_until("all wait", lambda: len(place.services["ingest"].asked) == 5, 10)
        assert httpx.post(f"{place.url}/v1/events", content=b"abc", timeout=10).json()["got"] == 3
        answers = [line for line in slow if _refused(line)]
        assert len(answers) == 1
        for line in slow:
            line.close()


def _refused(line: socket.socket) -> bool:
    line.settimeout(0.2)
    try:
        return line.recv(100).startswith(b"HTTP/1.1 503 ")
    except TimeoutError:
        return False


def test_a_body_that_does_not_arrive_in_time() -> None:
    with town() as place:
        began = time.monotonic()
        found = raw(place.url, b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc")
        assert found.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 30


def test_it_says_what_it_needs_before_it_starts() -> None:
    urls = {
        "ingest_url": "http://ingest:8080",
        "rules_url": "http://rules:8080",
        "actions_url": "http://actions:8080",
    }
    secret = "a secret for tests only"
    assert gateway_of(Settings(_env_file=None, secret_key=secret, **urls))
    for name in urls:
        with pytest.raises(ConfigurationError, match=f"^TOUCHLINE_{name.upper()}: needed"):
            gateway_of(Settings(_env_file=None, secret_key=secret, **{**urls, name: ""}))
    with pytest.raises(ConfigurationError, match=r"^TOUCHLINE_SECRET_KEY: needed"):
        gateway_of(Settings(_env_file=None, **urls))
