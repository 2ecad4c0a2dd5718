"""Receivers that do not keep to HTTP: no answer is another's, no connection is left over, and no secret gets out."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from services.actions.channels.base import OAuth2Client, Target, TargetAuth
from services.actions.channels.webhook.channel import WebhookChannel
from services.actions.channels.webhook.connections import Connections
from services.actions.channels.webhook.final_status import FinalStatus
from services.actions.channels.webhook.request import Request
from services.actions.channels.webhook.ssrf import AddressGuard, networks
from services.actions.plays.retry_policy import Outcome
from tests.unit.channels.helpers import SECRET, Server, deliver, leased, surroundings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
TOO_MUCH = b"HTTP/1.1 413 Too much\r\nContent-Length: 0\r\n\r\n"
PATIENCE_S = 30.0
NEVER_S = 3_600.0
BIG = 20_000_000  # bytes, more than the buffers of a connection
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]  # what is behind a transport differs between them

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def request_in(reader: asyncio.StreamReader) -> bytes:
    """The next request on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def in_pieces(writer: asyncio.StreamWriter, *pieces: bytes) -> None:
    """Write so that each piece is read by itself: both ends are on one loop, which goes round in between."""
    for piece in pieces:
        writer.write(piece)
        for _ in range(5):
            await asyncio.sleep(0)


@asynccontextmanager
async def calling(
    tmp_path: Path, script: Script, *, host: str = "127.0.0.1", deadline: float = 5, **fields: Any
) -> AsyncIterator[tuple[Server, Callable[..., Coroutine[Any, Any, Outcome]]]]:
    """A server that does so, and a function that sends one webhook to it."""
    async with Server(script) as server:
        target = Target(f"http://{host}:{server.port}/", SECRET, **fields)
        around = surroundings(tmp_path, lambda _: target, webhook_allowed_networks="127.0.0.0/8")
        channel = WebhookChannel(around, deadline=deadline)

        async def call(body: Any = None) -> Outcome:
            return await deliver(channel, leased(channel="webhook", rendered={"body": body or {"a": 1}}))

        try:
            yield server, call
        finally:
            await channel.close()


# -- between two requests


@pytest.mark.parametrize(
    "late", [OK, b"HTTP/1.1 408 Too slow\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 20", b"\r\n", b"junk"]
)
async def test_what_comes_between_two_requests_is_nobodys(
    tmp_path: Path, late: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.actions.channels.webhook.connections.KEEP_S", NEVER_S)
    taken, over, answers = asyncio.Event(), asyncio.Event(), [OK, GONE]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_in(reader)
        writer.write(answers.pop(0))
        if not answers:
            return
        await taken.wait()
        writer.write(late)
        try:
            await reader.read()
        finally:
            over.set()

    async with asyncio.timeout(PATIENCE_S), calling(tmp_path, serve) as (server, call):
        assert (await call()).kind == "done"
        taken.set()
        await over.wait()
        outcome = await call()
        assert (outcome.kind, outcome.detail, server.connections) == ("permanent", "410", 2)


async def test_what_comes_before_the_first_request_is_nobodys(tmp_path: Path) -> None:
    """A server that speaks first, as servers of mail do, must not be taken for one that has done its work."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await reader.read()

    url = "http://127.0.0.1:{}/"
    async with asyncio.timeout(PATIENCE_S), Server(serve) as server:
        connections = Connections(AddressGuard(networks(["127.0.0.0/8"])))
        connect = connections._connector.connect

        async def later(*args: Any) -> Any:
            connection = await connect(*args)
            while not connection.transport.is_closing():  # its first words have come, and ended it
                await asyncio.sleep(0)
            return connection

        connections._connector.connect = later
        with pytest.raises(aiohttp.ClientError):
            await connections.send(Request("POST", url.format(server.port), {}, b"{}"), FinalStatus())
        await connections.close()


# -- what the other side does not read


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("answer", [b"", TOO_MUCH, b"junk\r\n\r\n"])
def test_nothing_waits_for_a_receiver_that_does_not_read(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop], answer: bytes
) -> None:
    """The rest of the request is given up, and so are its memory and its socket."""
    begun, given_up, over, read = asyncio.Event(), asyncio.Event(), asyncio.Event(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal read
        read += len(await reader.readexactly(1))
        begun.set()
        writer.write(answer)
        await given_up.wait()
        try:
            while piece := await reader.read(65_536):
                read += len(piece)
        finally:
            over.set()

    async def scenario() -> None:
        async with asyncio.timeout(PATIENCE_S), calling(tmp_path, serve, deadline=NEVER_S) as (_, call):
            request = asyncio.create_task(call({"a": "x" * BIG}))
            await begun.wait()
            if not answer:
                request.cancel()  # as a deadline does
            await asyncio.wait([request])
            given_up.set()
            await over.wait()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())
    assert read < BIG


# -- answers that are malformed


async def test_a_malformed_body_ends_where_it_is_malformed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.actions.channels.webhook.answer.REST_S", NEVER_S)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_in(reader)
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await in_pieces(writer, head, b"2\r\nok\r\nZZ\r\n")
        await reader.read()

    async with asyncio.timeout(PATIENCE_S), calling(tmp_path, serve) as (_, call):
        assert (await call()).detail == "200 ok"


@pytest.mark.parametrize("status", [b"099", b"000"])
async def test_a_status_that_is_none_is_not_waited_for(tmp_path: Path, status: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_in(reader)
        writer.write(b"HTTP/1.1 " + status + b" What\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with calling(tmp_path, serve, deadline=NEVER_S) as (_, call), asyncio.timeout(PATIENCE_S):
        outcome = await call()
        assert (outcome.kind, outcome.reason) == ("permanent", "rejected")


@pytest.mark.parametrize(
    "answer", [b"%b\r\n\r\n", b"HTTP/1.1 103 Hints\r\nX-Echo: %b\r\n", b"HTTP/1.1 %b\r\n\r\n"]
)
async def test_no_error_quotes_what_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    """It may repeat our secrets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_in(reader)
        writer.write(answer.replace(b"%b", b"s3cr3t-key"))

    async with calling(tmp_path, serve, headers={"X-Key": "s3cr3t-key"}) as (_, call):
        outcome = await call()
    assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")
    assert outcome.detail
    assert "s3cr3t" not in outcome.detail


# -- an access token that is refused


@asynccontextmanager
async def refused(tmp_path: Path, script: Script, deadline: float) -> AsyncIterator[Callable[..., Any]]:
    """A function that sends a webhook with an access token to a server that does so."""

    async def tokens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await request_in(reader):
            body = b'{"access_token": "abc"}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with Server(tokens) as server:
        auth = TargetAuth(oauth2=OAuth2Client(f"http://127.0.0.1:{server.port}/", "us", "s3cr3t"))
        async with calling(tmp_path, script, deadline=deadline, auth=auth) as (_, call):
            yield call


async def test_a_deadline_amid_a_refused_token_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another token would have been tried: the webhook has not failed for good."""
    monkeypatch.setattr("services.actions.channels.webhook.answer.REST_S", NEVER_S)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_in(reader)
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 1000\r\n\r\nx")
        await reader.read()

    async with refused(tmp_path, serve, deadline=0.2) as call:
        outcome = await call()
    assert (outcome.kind, outcome.reason) == ("temporary", "timeout")


async def test_a_refused_token_is_not_the_answer_to_the_next_one(tmp_path: Path) -> None:
    """The first answer comes in pieces; to the second request there is none."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_in(reader)
        await in_pieces(writer, b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n", b"n", b"o")
        await request_in(reader)

    async with refused(tmp_path, serve, deadline=5) as call:
        outcome = await call()
    assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")


# -- the end


async def test_no_thread_that_looks_up_names_is_left(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_in(reader)
        writer.write(OK)

    before = set(threading.enumerate())
    async with calling(tmp_path, serve, host="localhost") as (_, call):
        await call()
        mine = [one for one in threading.enumerate() if one.name.startswith("webhook-names")]
        mine = [one for one in mine if one not in before]
        assert mine
    for one in mine:
        await asyncio.to_thread(one.join, PATIENCE_S)
    assert not any(one.is_alive() for one in mine)
