"""Access tokens by the client credentials of OAuth 2.0 (RFC 6749, section 4.4), kept in memory until they run out.

A token server is asked over the connections of webhooks, so the same addresses are refused, and trusted as little: no
redirect is followed, and one deadline holds for all of its answer. Many webhooks that need the same token ask once.
Tokens and secrets stay here: no message that leaves this module quotes one.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote_plus, urlencode

import aiohttp
import msgspec

from services.actions.channels.base import OAuth2Client
from services.actions.channels.webhook.answer import shown
from services.actions.channels.webhook.connections import Connections
from services.actions.channels.webhook.final_status import FinalStatus
from services.actions.channels.webhook.request import FORM, USER_AGENT, Request, basic, without
from services.actions.channels.webhook.ssrf import AddressRefused, refusal_in

TOKEN_S = 10.0  # for a token; less than a webhook has, so that its attempt says what was missing
KEPT_S = 300.0  # how long a token is good whose server does not say
LONGEST_S = 86_400.0
EARLY, EARLY_S = 0.1, 30.0  # a token is not used in the last tenth of its time, or the last 30 s
MOST_KEPT = 1_000  # tokens in memory; beyond them, those that run out first go
_GOOD = re.compile(r"[\x21-\x7e]{1,16384}")  # goes into a header as it is
_REFUSED = (400, 401)  # how a token server says that it does not know the client (RFC 6749, section 5.2)


class NoToken(Exception):
    """The token server gave no token; the message says why, without any secret."""


class _Answer(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105  (a kind)
    expires_in: Any = None  # seconds; some servers write a string


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    until: float  # by the event loop's clock


class AccessTokens:
    """The tokens of one process. Belongs to one event loop."""

    def __init__(self, connections: Callable[[], Connections]) -> None:
        self._connections = connections
        self._tokens: dict[OAuth2Client, _Token] = {}
        self._asked: dict[OAuth2Client, asyncio.Task[str]] = {}
        self._in_body: set[OAuth2Client] = set()  # clients whose servers want the secret in the body

    async def get(self, client: OAuth2Client) -> str:
        """A token. Raises `NoToken`, `AddressRefused`."""
        held = self._tokens.get(client)
        if held is not None and held.until > asyncio.get_running_loop().time():
            return held.value
        task = self._asked.get(client)
        if task is None:
            task = self._asked[client] = asyncio.create_task(self._ask(client))
            task.add_done_callback(partial(self._told, client))
        return await asyncio.shield(task)

    def _told(self, client: OAuth2Client, task: asyncio.Task[str]) -> None:
        self._asked.pop(client, None)
        if not task.cancelled():
            task.exception()  # all who asked may have given up

    def refused(self, client: OAuth2Client, token: str) -> None:
        """Note that an endpoint does not take this token any more."""
        held = self._tokens.get(client)
        if held is not None and held.value == token:
            del self._tokens[client]

    async def close(self) -> None:
        """Stop asking."""
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, client: OAuth2Client) -> str:
        try:
            async with asyncio.timeout(TOKEN_S):
                status, answer = await self._answered(client)
        except TimeoutError as error:
            raise NoToken(f"the token server did not answer within {TOKEN_S:g} s") from error
        except (AddressRefused, aiohttp.ClientError, OSError, ValueError) as error:
            refused = error if isinstance(error, aiohttp.InvalidURL) else refusal_in(error)
            if refused is not None:
                raise AddressRefused(f"token_url: {refused}") from error
            raise NoToken(f"the token server was not reached: {type(error).__name__}") from error
        token, seconds = _token_in(status, answer, client)
        self._keep(client, token, seconds)
        return token

    async def _answered(self, client: OAuth2Client) -> tuple[int, bytes]:
        """The server's answer. Who is not let in with the secret in a header is asked for with it in the body."""
        in_body = client in self._in_body
        status, answer = await self._post(client, in_body=in_body)
        if status in _REFUSED and not in_body:
            again, other = await self._post(client, in_body=True)
            if again == 200:
                self._in_body.add(client)
                return again, other
        elif status in _REFUSED:
            self._in_body.discard(client)
        return status, answer

    async def _post(self, client: OAuth2Client, *, in_body: bool) -> tuple[int, bytes]:
        fields = {"grant_type": "client_credentials"} | ({"scope": client.scope} if client.scope else {})
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **USER_AGENT,
            "Content-Type": FORM,
        }
        if in_body:
            fields |= {"client_id": client.client_id, "client_secret": client.client_secret}
        else:  # written as in a form first (RFC 6749, section 2.3.1)
            headers["Authorization"] = basic(quote_plus(client.client_id), quote_plus(client.client_secret))
        request = Request("POST", client.token_url, headers, urlencode(fields).encode())
        answer = await self._connections().send(request, FinalStatus())
        return answer.status, await answer.body()

    def _keep(self, client: OAuth2Client, token: str, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        self._tokens[client] = _Token(token, now + seconds - min(seconds * EARLY, EARLY_S))
        if len(self._tokens) > MOST_KEPT:
            del self._tokens[min(self._tokens, key=lambda one: self._tokens[one].until)]


def _token_in(status: int, answer: bytes, client: OAuth2Client) -> tuple[str, float]:
    """The token in an answer, and for how many seconds it is good. Raises `NoToken`."""
    if status != 200:
        said = shown(without(_secrets(client), answer))
        raise NoToken(f"the token server answered {status} {said}".strip())
    try:
        found = msgspec.json.decode(answer, type=_Answer)
    except msgspec.DecodeError as error:  # its message may quote the answer
        raise NoToken("the token server's answer holds no access token") from error
    if found.token_type.lower() != "bearer":
        raise NoToken("the token server gave a token of another type than Bearer")
    if _GOOD.fullmatch(found.access_token) is None:
        raise NoToken("the token server's token cannot be written into a header")
    seconds = KEPT_S
    with suppress(TypeError, ValueError):
        seconds = float(found.expires_in)
    return found.access_token, min(max(seconds, 0.0), LONGEST_S)


def _secrets(client: OAuth2Client) -> list[str]:
    pair = basic(quote_plus(client.client_id), quote_plus(client.client_secret))
    return [client.client_secret, quote_plus(client.client_secret), pair.rpartition(" ")[2]]
