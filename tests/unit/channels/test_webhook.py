"""Webhooks: signed as the standard's own library verifies them, kept from private addresses, patient with no one."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from services.actions.channels.base import Target
from services.actions.channels.webhook.answer import judged
from services.actions.channels.webhook.channel import WebhookChannel
from services.actions.plays.retry_policy import Outcome
from tests.unit.channels.helpers import SECRET, WHEN, Server, deliver, leased, surroundings


class Scripted:
    """An HTTP server that answers everything with the same bytes, and keeps what it was asked."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") -> None:
        self.answer = answer
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            lines = head.split("\r\n")[1:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((headers, body))
            await self.respond(writer)

    async def respond(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.answer)
        await writer.drain()


def to(tmp_path: Path, url: str, *, allowed: str = "127.0.0.0/8", deadline: float = 5) -> WebhookChannel:
    """A channel whose every endpoint is that address."""
    around = surroundings(tmp_path, lambda _: Target(url, SECRET), webhook_allowed_networks=allowed)
    return WebhookChannel(around, deadline=deadline)


async def post(
    tmp_path: Path, script: Scripted, host: str = "127.0.0.1", body: Any = None, **options: Any
) -> Outcome:
    """One webhook to a server of this machine."""
    async with Server(script) as server:
        sender = to(tmp_path, f"http://{host}:{server.port}/hook?x=1", **options)
        try:
            return await deliver(sender, leased(channel="webhook", rendered={"body": body or {"ü": 1}}))
        finally:
            await sender.close()


async def test_the_standards_own_library_verifies_it(tmp_path: Path) -> None:
    script = Scripted()
    outcome = await post(tmp_path, script, body={"account": "acme", "ü": [1, 2.5, None]})
    assert (outcome.kind, outcome.detail) == ("done", "200 ok")
    headers, body = script.requests[0]
    assert Webhook(SECRET).verify(body, headers) == {"account": "acme", "ü": [1, 2.5, None]}
    assert headers["webhook-id"] == "act_1"
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"


async def test_the_id_and_the_body_stay_the_same_at_every_attempt(tmp_path: Path) -> None:
    script = Scripted()
    for _ in range(2):
        await post(tmp_path, script)
    (first, body), (second, again) = script.requests
    assert first["webhook-id"] == second["webhook-id"]
    assert body == again


async def test_connections_are_used_again(tmp_path: Path) -> None:
    async with Server(Scripted()) as server:
        sender = to(tmp_path, f"http://127.0.0.1:{server.port}/")
        for number in range(5):
            assert (await deliver(sender, leased(f"act_{number}", "webhook"))).kind == "done"
        assert server.connections == 1
        await sender.close()


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (200, "done", None), (204, "done", None), (299, "done", None),
        (301, "permanent", "rejected"), (302, "permanent", "rejected"), (307, "permanent", "rejected"),
        (400, "permanent", "rejected"), (401, "permanent", "rejected"), (404, "permanent", "rejected"),
        (410, "permanent", "rejected"), (413, "permanent", "rejected"), (422, "permanent", "rejected"),
        (408, "temporary", "deferred"), (425, "temporary", "deferred"), (429, "temporary", "deferred"),
        (500, "temporary", "deferred"), (502, "temporary", "deferred"), (503, "temporary", "deferred"),
        (599, "temporary", "deferred"),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, kind: str, reason: str | None) -> None:
    outcome = judged(status, {}, b"why\x00 \xff not", WHEN)
    assert (outcome.kind, outcome.reason) == (kind, reason)
    assert outcome.detail.startswith(str(status))
    assert outcome.detail.isprintable()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("99999999999999", 999_999_999),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
    ],
)
def test_retry_after(written: str, seconds: int | None) -> None:
    asked = judged(503, {"Retry-After": written}, b"", WHEN).retry_after
    assert asked == (None if seconds is None else seconds * 1_000_000)


def test_retry_after_as_a_date() -> None:
    soon = format_datetime(datetime.fromtimestamp(WHEN / 1_000_000, UTC) + timedelta(seconds=90), usegmt=True)
    assert judged(429, {"Retry-After": soon}, b"", WHEN).retry_after == 90_000_000
    past = "Thu, 01 Jan 1970 00:00:00 GMT"
    assert judged(429, {"Retry-After": past}, b"", WHEN).retry_after == 0


async def test_no_redirect_is_followed(tmp_path: Path) -> None:
    canary = Scripted()
    async with Server(canary) as server:
        answer = f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{server.port}/\r\nContent-Length: 0\r\n\r\n"
        outcome = await post(tmp_path, Scripted(answer.encode()))
    assert outcome.reason == "rejected"
    assert canary.requests == []


async def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    class Endless(Scripted):
        sent = 0

        async def respond(self, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                self.sent += 65536
                await writer.drain()

    script = Endless()
    assert (await post(tmp_path, script)).kind == "done"
    assert script.sent < 100 * 65536


async def test_a_packed_answer_stays_packed(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
    assert (await post(tmp_path, Scripted(answer))).detail == "200 nope"


class Drip(Scripted):
    """Answers byte by byte, after `head`."""

    head = b"HTTP/1.1 200 O"

    async def respond(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)


async def test_one_deadline_holds_for_a_slow_drip(tmp_path: Path) -> None:
    outcome = await post(tmp_path, Drip(), deadline=0.1)
    assert (outcome.kind, outcome.reason) == ("temporary", "timeout")


async def test_headers_without_end_do_not_unsay_the_status(tmp_path: Path) -> None:
    drip = Drip()
    drip.head = b"HTTP/1.1 200 OK\r\nServer: "
    assert (await post(tmp_path, drip, deadline=0.1)).kind == "done"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"gibberish\r\n\r\n",
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20",
        b"HTTP/1.1 999 No\r\n",
    ],
)
async def test_a_broken_answer_is_tried_again(tmp_path: Path, answer: bytes) -> None:
    outcome = await post(tmp_path, Broken(answer))
    assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")


class Broken(Scripted):
    """Hangs up after its answer."""

    async def respond(self, writer: asyncio.StreamWriter) -> None:
        await super().respond(writer)
        raise ConnectionError


@pytest.mark.parametrize(
    ("status", "kind"), [("200 OK", "done"), ("503 No", "temporary"), ("404 No", "permanent")]
)
@pytest.mark.parametrize(
    "rest",
    [
        "Content-Length: 9\r\n\r\nx",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nx",
        "Transfer-Encoding: chunked\r\n\r\nZZ\r\nno chunk",
        "".join(f"X-H{n}: v\r\n" for n in range(150)) + "Content-Length: 0\r\n\r\n",
        "Content-Length: one\r\n\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        f"X-Long: {'v' * 100_000}\r\n\r\n",
        "no header\r\n\r\n",
        "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nnogzi",
        "Content-Le",
    ],
)
async def test_the_status_decides_whatever_becomes_of_the_rest(
    tmp_path: Path, status: str, kind: str, rest: str
) -> None:
    """It was taken, or refused: posting it again for three days would not make it better."""
    outcome = await post(tmp_path, Broken(f"HTTP/1.1 {status}\r\n{rest}".encode()))
    assert (outcome.kind, outcome.detail[:3]) == (kind, status[:3])


async def test_an_answer_that_does_not_end_is_cut_off_after_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.actions.channels.webhook.answer.REST_S", 0.1)
    drip = Drip()
    drip.head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    outcome = await post(tmp_path, drip)
    assert (outcome.kind, outcome.detail[:5]) == ("done", "200 x")


async def test_the_status_is_that_of_the_request_under_way(tmp_path: Path) -> None:
    """Not of the one before it on the same connection."""

    class Once(Scripted):
        async def respond(self, writer: asyncio.StreamWriter) -> None:
            if len(self.requests) > 1:
                raise ConnectionError
            await super().respond(writer)

    async with Server(Once()) as server:
        sender = to(tmp_path, f"http://127.0.0.1:{server.port}/")
        outcomes = [await deliver(sender, leased(f"act_{n}", "webhook")) for n in range(2)]
        await sender.close()
    assert [(one.kind, one.reason) for one in outcomes] == [("done", None), ("temporary", "unreachable")]
    assert server.connections == 1


async def test_nobody_listens(tmp_path: Path) -> None:
    async with Server(Scripted()) as server:
        port = server.port
    sender = to(tmp_path, f"http://127.0.0.1:{port}/")
    outcome = await deliver(sender, leased(channel="webhook"))
    await sender.close()
    assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")


async def test_an_endpoint_that_is_gone(tmp_path: Path) -> None:
    outcome = await deliver(WebhookChannel(surroundings(tmp_path)), leased(channel="webhook"))
    assert (outcome.kind, outcome.reason) == ("permanent", "endpoint_unknown")


async def test_a_proxy_of_the_environment_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = Scripted()
    async with Server(canary) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert (await post(tmp_path, Scripted())).kind == "done"
    assert canary.requests == []


NAMED = [
    "localhost", "LOCALHOST", "localhost.", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0x7f.1", "127.0.1", "0",
    "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]", "[::127.0.0.1]",
]  # fmt: skip


@pytest.mark.parametrize("host", NAMED)
async def test_no_name_or_number_leads_inside(tmp_path: Path, host: str) -> None:
    canary = Scripted()
    outcome = await post(tmp_path, canary, host=host, allowed="")
    assert outcome.kind == "permanent" or outcome.reason == "unreachable"
    assert canary.requests == []
    if host in ("localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"):
        assert outcome.reason == "address_refused"


@pytest.mark.parametrize("others", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1", "8.8.8.8"]])
async def test_a_name_with_one_private_address_is_refused(
    tmp_path: Path, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, port)) for one in others]

    canary = Scripted()
    async with Server(canary) as server:
        sender = to(tmp_path, f"http://rebound.test:{server.port}/", allowed="")
        monkeypatch.setattr(socket, "getaddrinfo", answer)
        outcome = await deliver(sender, leased(channel="webhook"))
        await sender.close()
    assert outcome.reason == "address_refused"
    assert canary.requests == []


async def test_a_name_server_that_changes_its_mind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the addresses that were looked at are connected to, and each is looked at again as it is."""
    asked = 0

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        nonlocal asked
        asked += 1
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]

    canary = Scripted()
    async with Server(canary) as server:
        sender = to(tmp_path, f"http://rebound.test:{server.port}/", allowed="")
        monkeypatch.setattr(socket, "getaddrinfo", answer)
        monkeypatch.setattr("services.actions.channels.webhook.connections.Resolver.resolve", _unchecked)
        outcome = await deliver(sender, leased(channel="webhook"))
        await sender.close()
    assert outcome.reason == "address_refused"
    assert canary.requests == []


async def _unchecked(self: Any, host: str, port: int = 0, family: int = 0) -> list[Any]:
    return [
        {
            "hostname": host,
            "host": "127.0.0.1",
            "port": port,
            "family": socket.AF_INET,
            "proto": 6,
            "flags": 0,
        }
    ]
