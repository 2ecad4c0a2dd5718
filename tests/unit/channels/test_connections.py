"""Requests that we write ourselves: as aiohttp's client session writes them, and each once; no answer is another's."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.actions.channels.base import Target
from services.actions.channels.webhook.answer import ANSWER_BYTES
from services.actions.channels.webhook.channel import WebhookChannel
from services.actions.channels.webhook.connections import Connections
from services.actions.channels.webhook.final_status import FinalStatus
from services.actions.channels.webhook.request import Request
from services.actions.channels.webhook.ssrf import AddressGuard, networks
from services.actions.plays.retry_policy import Outcome
from tests.unit.channels.helpers import SECRET, Server, deliver, leased, surroundings

GUARD = AddressGuard(networks(["127.0.0.0/8", "::1/128"]))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Heard:
    """A server that keeps each request's first line, headers and body, and answers with the next of `answers`."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, str], bytes]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            first, *lines = head.split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.asked.append((first, headers, body))
            answer = self.answers.pop(0) if self.answers else OK
            if not answer:
                raise ConnectionError
            writer.write(answer)
            await writer.drain()


async def ask(
    connections: Connections, url: str, method: str = "POST", body: bytes = b"{}", **headers: str
) -> tuple[int, bytes]:
    """One request; returns the status and the body of its answer."""
    answer = await connections.send(Request(method, url, headers, body), FinalStatus())
    return answer.status, await answer.body()


async def outcomes_of(tmp_path: Path, server: Server, count: int, **fields: Any) -> list[Outcome]:
    """So many webhooks to one endpoint, one after the other."""
    target = Target(f"http://127.0.0.1:{server.port}/", SECRET, **fields)
    channel = WebhookChannel(
        surroundings(tmp_path, lambda _: target, webhook_allowed_networks="127.0.0.0/8"), deadline=5
    )
    try:
        return [await deliver(channel, leased(f"act_{number}", "webhook")) for number in range(count)]
    finally:
        await channel.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "path", ["", "/", "/hook?x=1&y=%20", "/a%2Fb/ü?q=ä#part", "/a b", "?only=query", "/x;y=1,2/..;/"]
)
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "LOCALHOST"])
async def test_a_request_is_what_a_client_session_would_send(host: str, path: str, method: str) -> None:
    heard = Heard()
    headers = {
        "Accept": "*/*",
        "X-Name": "Jörg, ‘Acme’",
        "User-Agent": "Us",
        "Content-Type": "application/json",
    }
    options: dict[str, Any] = {"skip_auto_headers": ["Accept-Encoding"], "allow_redirects": False}
    async with Server(heard, "::1" if ":" in host else "127.0.0.1") as server:
        url = f"http://{host}:{server.port}{path}"
        connections = Connections(GUARD)
        assert await ask(connections, url, method, b'{"a": 1}', **headers) == (200, b"ok")
        await connections.close()
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=b'{"a": 1}', headers=headers, **options),
        ):
            pass
    ours, theirs = heard.asked
    assert ours == theirs


@pytest.mark.parametrize("mark", ["\r", "\n", "\0", "\r\nX-Injected: 1"])
@pytest.mark.parametrize("place", ["name", "value"])
async def test_no_header_breaks_out_of_its_line(place: str, mark: str) -> None:
    heard = Heard()
    headers = {"X-A" + mark: "b"} if place == "name" else {"X-A": f"b{mark}c"}
    async with Server(heard) as server:
        connections = Connections(GUARD)
        with pytest.raises(ValueError, match="line break"):
            await ask(connections, f"http://127.0.0.1:{server.port}/", **headers)
        await connections.close()
    assert heard.asked == []


@pytest.mark.parametrize(
    "url", ["http:///x", "http://", "ftp://127.0.0.1/", "//127.0.0.1/", "127.0.0.1/x", "http://[::1"]
)
async def test_what_is_no_web_address(url: str) -> None:
    connections = Connections(GUARD)
    with pytest.raises(aiohttp.InvalidURL):
        await ask(connections, url)
    await connections.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_request_is_sent_once_where_a_kept_connection_breaks(tmp_path: Path, method: str) -> None:
    """A client session of aiohttp's would send a PUT again."""
    heard = Heard(OK, b"")
    async with Server(heard) as server:
        outcomes = await outcomes_of(tmp_path, server, 3, method=method)
    assert [(one.kind, one.reason) for one in outcomes] == [
        ("done", None), ("temporary", "unreachable"), ("done", None),
    ]  # fmt: skip
    assert [headers["webhook-id"] for _, headers, _ in heard.asked] == ["act_0", "act_1", "act_2"]
    assert server.connections == 2


# -- answers, in any pieces

BODIES = st.binary(max_size=40)
FINAL = st.sampled_from([200, 201, 302, 400, 404, 410, 429, 500, 503])


def _with_length(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def _chunked(status: int, body: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (body[:7], body[7:]) if one)
    return b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (status, chunks)


def _interim(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n" + _with_length(
        status, body
    )


def _last(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


FORMS = (_with_length, _chunked, _interim, _last)
ANSWERS = st.lists(
    st.tuples(st.sampled_from(FORMS), FINAL, BODIES, st.integers(1, 50)), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(answers=ANSWERS)
async def test_each_request_gets_its_own_answer(answers: list[tuple[Any, int, bytes, int]]) -> None:
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n{}"):
            form, status, body, piece = left.pop(0)
            written = form(status, body)
            for start in range(0, len(written), piece):
                writer.write(written[start : start + piece])
                await asyncio.sleep(0)
            if form is _last:
                return

    async with Server(serve) as server:
        connections = Connections(GUARD)
        url = f"http://127.0.0.1:{server.port}/"
        for _, status, body, _ in answers:
            assert await ask(connections, url) == (status, body)
        await connections.close()
    closed = sum(form is _last for form, *_ in answers[:-1])
    assert server.connections == 1 + closed  # all others were used again


@pytest.mark.parametrize("rest", [b"junk", OK, b"\r\n" + OK, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"])
async def test_what_follows_an_answer_is_nobodys(tmp_path: Path, rest: bytes) -> None:
    refused = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
    async with Server(Heard(OK + rest, refused)) as server:
        outcomes = await outcomes_of(tmp_path, server, 2)
    assert [(one.kind, one.detail[:3]) for one in outcomes] == [("done", "200"), ("permanent", "404")]
    assert server.connections == 2


async def test_a_long_answer_is_cut_and_its_connection_closed() -> None:
    long = _with_length(200, b"x" * 3 * ANSWER_BYTES)
    async with Server(Heard(long, OK)) as server:
        connections = Connections(GUARD)
        url = f"http://127.0.0.1:{server.port}/"
        assert await ask(connections, url) == (200, b"x" * ANSWER_BYTES)
        assert await ask(connections, url) == (200, b"ok")
        await connections.close()
    assert server.connections == 2


async def test_an_answer_before_the_request_is_whole_ends_its_connection() -> None:
    """What is left of the request would be read as the next one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with Server(serve) as server:
        connections = Connections(GUARD)
        url = f"http://127.0.0.1:{server.port}/"
        for _ in range(2):
            assert await ask(connections, url, body=b"x" * 20_000_000) == (413, b"")
        await connections.close()
    assert server.connections == 2


def self_signed(folder: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The context of a server with a certificate for `host`, and that of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=file)


async def test_an_endpoint_must_be_who_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = self_signed(tmp_path, "localhost")
    server = await asyncio.start_server(Heard(), "127.0.0.1", 0, ssl=theirs)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
    connections = Connections(GUARD)
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await ask(connections, url)
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ours)
    assert await ask(connections, url) == (200, b"ok")
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await ask(connections, url.replace("localhost", "127.0.0.1"))
    await connections.close()
    server.close()
