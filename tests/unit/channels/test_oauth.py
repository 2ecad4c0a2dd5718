"""OAuth 2.0: a token is asked for once, kept until it runs out or is refused, and seen by nobody but the endpoint."""

import asyncio
import base64
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from services.actions.channels.base import OAuth2Client, Target, TargetAuth
from services.actions.channels.webhook import oauth
from services.actions.channels.webhook.channel import WebhookChannel
from services.actions.plays.retry_policy import Outcome
from tests.unit.channels.helpers import SECRET, Server, deliver, leased, surroundings

CLIENT_SECRET = "s3cr3t/of the+client"


class Spoken:
    """An HTTP server: `answers` gives (status, body) for what it is asked, at once or as a coroutine."""

    def __init__(self, answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[dict[str, str], bytes]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            raw = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
            body = await reader.readexactly(int(headers["content-length"]))
            self.asked.append(({**headers, "authorization": raw.get("Authorization", "")}, body))
            answer = self.answers(*self.asked[-1])
            status, said = await answer if asyncio.iscoroutine(answer) else answer
            more = f"Location: {said}\r\n" if status == 307 else ""
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            writer.write(
                f"HTTP/1.1 {status} X\r\n{more}Content-Length: {len(content)}\r\n\r\n".encode() + content
            )
            await writer.drain()


class Tokens(Spoken):
    """A token server: it numbers its tokens."""

    def __init__(self, **more: Any) -> None:
        super().__init__(self._answer)
        self.more = {"token_type": "bearer", "expires_in": 3600, **more}

    def _answer(self, _headers: dict[str, str], _body: bytes) -> tuple[int, Any]:
        return 200, {"access_token": f"token-{len(self.asked)}", **self.more}


def taken(headers: dict[str, str], _body: bytes) -> tuple[int, Any]:
    return 200, headers["authorization"]


class House:
    """An endpoint with its token server, and a channel that calls it."""

    def __init__(self, tmp_path: Path, endpoint: Any = taken, tokens: Spoken | None = None) -> None:
        self.endpoint = Spoken(endpoint)
        self.tokens = tokens or Tokens()
        self._tmp_path, self._stack = tmp_path, AsyncExitStack()
        self.allowed, self.token_host = "127.0.0.0/8", "127.0.0.1"
        self.token_url, self.scope = "http://{host}:{port}/token", None

    async def __aenter__(self) -> "House":
        hook = await self._stack.enter_async_context(Server(self.endpoint))
        told = await self._stack.enter_async_context(Server(self.tokens, self.token_host))
        url = self.token_url.format(host=self.token_host, port=told.port)
        self.client = OAuth2Client(url, "cli:ent", CLIENT_SECRET, scope=self.scope)
        target = Target(f"http://127.0.0.1:{hook.port}/", SECRET, auth=TargetAuth(oauth2=self.client))
        around = surroundings(self._tmp_path, lambda _: target, webhook_allowed_networks=self.allowed)
        self.channel = WebhookChannel(around, deadline=5)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self._stack.aclose()

    async def send(self, *ids: str) -> list[Outcome]:
        return list(await asyncio.gather(*(deliver(self.channel, leased(one, "webhook")) for one in ids)))

    def bearers(self) -> list[str]:
        return [headers["authorization"] for headers, _ in self.endpoint.asked]


async def test_one_token_serves_all_webhooks(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        outcomes = await house.send("act_1", "act_2", "act_3") + await house.send("act_4")
        assert {one.kind for one in outcomes} == {"done"}
        assert house.bearers() == ["Bearer token-1"] * 4
        ((headers, body),) = house.tokens.asked
        pair = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode()
        assert pair == "cli%3Aent:s3cr3t%2Fof+the%2Bclient"  # RFC 6749, section 2.3.1
        assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"]}


async def test_the_scope_is_asked_for(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.scope = "read write"
    async with house:
        await house.send("act_1")
        assert parse_qs(house.tokens.asked[0][1].decode())["scope"] == ["read write"]


@pytest.mark.parametrize("seconds", [0, -5, "0"])
async def test_a_token_that_has_run_out_is_not_used(tmp_path: Path, seconds: Any) -> None:
    async with House(tmp_path, tokens=Tokens(expires_in=seconds)) as house:
        await house.send("act_1")
        await house.send("act_2")
        assert house.bearers() == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("seconds", [None, "soon", [], 1e300, "3600"])
async def test_a_server_that_does_not_say_how_long_is_not_asked_each_time(
    tmp_path: Path, seconds: Any
) -> None:
    async with House(tmp_path, tokens=Tokens(expires_in=seconds)) as house:
        await house.send("act_1")
        await house.send("act_2")
        assert house.bearers() == ["Bearer token-1"] * 2


async def test_a_refused_token_is_replaced_once(tmp_path: Path) -> None:
    def picky(headers: dict[str, str], _body: bytes) -> tuple[int, Any]:
        return (401, "") if headers["authorization"] == "Bearer token-1" else (200, "")

    async with House(tmp_path, picky) as house:
        (outcome,) = await house.send("act_1")
        assert outcome.kind == "done"
        assert house.bearers() == ["Bearer token-1", "Bearer token-2"]
        first, second = house.endpoint.asked
        assert first[0]["webhook-id"] == second[0]["webhook-id"] == "act_1"
        await house.send("act_2")
        assert house.bearers()[2:] == ["Bearer token-2"]


async def test_an_endpoint_that_refuses_every_token_is_asked_twice(tmp_path: Path) -> None:
    async with House(tmp_path, lambda headers, _: (401, headers["authorization"])) as house:
        (outcome,) = await house.send("act_1")
        assert (outcome.kind, outcome.reason, len(house.endpoint.asked)) == ("permanent", "rejected", 2)
        assert outcome.detail == '401 "Bearer ***"'


async def test_a_server_that_wants_the_secret_in_the_body_gets_it_there(tmp_path: Path) -> None:
    tokens = Tokens(expires_in=0)
    plain = tokens.answers
    tokens.answers = lambda headers, body: (401, "") if headers["authorization"] else plain(headers, body)
    async with House(tmp_path, tokens=tokens) as house:
        outcomes = await house.send("act_1") + await house.send("act_2")
        assert [one.kind for one in outcomes] == ["done", "done"]
        assert [bool(headers["authorization"]) for headers, _ in tokens.asked] == [True, False, False]
        assert parse_qs(tokens.asked[1][1].decode())["client_secret"] == [CLIENT_SECRET]


REFUSALS: list[tuple[Any, str]] = [
    ((401, {"error": "invalid_client", "sent": CLIENT_SECRET}), "the token server answered 401"),
    ((403, "no"), "the token server answered 403"), ((500, ""), "the token server answered 500"),
    ((200, {}), "holds no access token"), ((200, b"<html>"), "holds no access token"),
    ((200, {"access_token": 5}), "holds no access token"), ((200, ["access_token"]), "holds no access token"),
    ((200, {"access_token": "a", "token_type": "mac"}), "another type than Bearer"),
    ((200, {"access_token": "a\r\nX-A: b"}), "cannot be written into a header"),
    ((200, {"access_token": "ü"}), "cannot be written into a header"),
    ((200, {"access_token": ""}), "cannot be written into a header"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "said"), REFUSALS)
async def test_without_a_token_nothing_is_sent(tmp_path: Path, answer: Any, said: str) -> None:
    async with House(tmp_path, tokens=Spoken(lambda *_: answer)) as house:
        (outcome,) = await house.send("act_1")
        assert (outcome.kind, outcome.reason, outcome.answered) == ("temporary", "no_token", False)
        assert said in outcome.detail
        assert "s3cr3t" not in outcome.detail
        assert house.endpoint.asked == []


async def test_a_token_server_that_hangs_is_a_failed_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "TOKEN_S", 0.05)
    async with House(tmp_path, tokens=Spoken(lambda *_: asyncio.sleep(3600))) as house:
        outcomes = await house.send("act_1", "act_2")
        assert {(one.kind, one.reason) for one in outcomes} == {("temporary", "no_token")}
        assert len(house.tokens.asked) == 1
        assert house.endpoint.asked == []


async def test_one_who_gives_up_takes_the_token_from_nobody(tmp_path: Path) -> None:
    asked, free = asyncio.Event(), asyncio.Event()

    async def slowly(*_: Any) -> tuple[int, Any]:
        asked.set()
        await free.wait()
        return 200, {"access_token": "late"}

    async with House(tmp_path, tokens=Spoken(slowly)) as house:
        first, second = (asyncio.create_task(house.send(one)) for one in ("act_1", "act_2"))
        await asked.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        free.set()
        assert [one.kind for one in await second] == ["done"]
        assert (house.bearers(), len(house.tokens.asked)) == (["Bearer late"], 1)


async def test_no_redirect_of_a_token_server_is_followed(tmp_path: Path) -> None:
    canary = Spoken(lambda *_: (200, {"access_token": "x"}))
    async with Server(canary) as server:
        where = f"http://127.0.0.1:{server.port}/"
        async with House(tmp_path, tokens=Spoken(lambda *_: (307, where))) as house:
            (outcome,) = await house.send("act_1")
            assert (outcome.reason, canary.asked) == ("no_token", [])


async def test_a_token_server_at_a_private_address_is_not_asked(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.allowed, house.token_host = "127.0.0.1/32", "127.0.0.2"
    async with house:
        (outcome,) = await house.send("act_1")
        assert (outcome.kind, outcome.reason) == ("permanent", "address_refused")
        assert outcome.detail.startswith("token_url: ")
        assert (house.tokens.asked, house.endpoint.asked) == ([], [])


async def test_a_token_server_that_is_gone(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.token_url = "http://{host}:1/token"
    async with house:
        (outcome,) = await house.send("act_1")
        assert (outcome.kind, outcome.reason) == ("temporary", "no_token")


async def test_the_status_of_a_token_is_not_that_of_the_webhook(tmp_path: Path) -> None:
    """The token comes, and then the endpoint hangs up without an answer."""

    def hang_up(*_: Any) -> tuple[int, Any]:
        raise ConnectionError

    async with House(tmp_path, hang_up) as house:
        (outcome,) = await house.send("act_1")
        assert (outcome.kind, outcome.reason) == ("temporary", "unreachable")


def test_nothing_secret_is_in_the_words_of_a_client() -> None:
    client = OAuth2Client("https://login.test/", "us", CLIENT_SECRET)
    assert CLIENT_SECRET not in repr(Target("https://a.test/", SECRET, auth=TargetAuth(oauth2=client)))
