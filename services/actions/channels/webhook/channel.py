"""Channel `webhook`: a signed request to an endpoint, with the same id at every attempt.

Nothing from the other side is trusted: no redirect is followed, no compressed answer is asked for or unpacked, and at
most 64 KiB of an answer are read. One deadline holds for everything up to the status. Proxies of the environment are
ignored. The status decides; the body is for people, as far as it arrives.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from schemas.endpoint import AT_ONCE
from services.actions.channels.base import ChannelContext, Prepared, Target
from services.actions.channels.webhook.answer import judged, read
from services.actions.channels.webhook.deadlines import Deadline, Deadlines
from services.actions.channels.webhook.final_status import FinalStatus, StatusConnector, expect
from services.actions.channels.webhook.oauth import AccessTokens, NoToken
from services.actions.channels.webhook.request import CannotBeWritten, hide, request_of
from services.actions.channels.webhook.ssrf import AddressGuard, AddressRefused, refusal_in
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome

DEADLINE_S = 20.0  # for name, connection, request, and the status of the answer
KEEP_S = 3.0  # an idle connection is not used later: many servers hang up after five seconds
SECOND_US = 1_000_000
UNAUTHORIZED = 401
NAMES_AT_ONCE = 256  # many, so that a name server that hangs does not hold up other look-ups


class Resolver(AbstractResolver):
    """Resolves names to addresses. If one of a name's addresses is not allowed, the name is refused."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._threads = ThreadPoolExecutor(NAMES_AT_ONCE, thread_name_prefix="webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses from the system's resolver, in its order."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, family=family)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        for _, _, _, _, place in found:
            self._guard.check(str(place[0]))
        return [
            ResolveResult(
                hostname=host, host=str(place[0]), port=port, family=kind, proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, place in found
        ]  # fmt: skip

    async def close(self) -> None:
        """Shut the threads down; one that still waits for a name server ends when the answer or its timeout comes."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class WebhookChannel:
    """Calls endpoints."""

    concurrency = 300
    per_key = AT_ONCE  # webhooks on the wire when we are killed arrive again, under the same id
    idempotent, marks_effect = True, False  # the receiver tells a repeat by its id
    independent = True
    trouble = None  # each endpoint has its own troubles

    def __init__(self, context: ChannelContext, *, deadline: float = DEADLINE_S) -> None:
        self._endpoint = context.endpoint
        self._guard = AddressGuard(context.settings.webhook_allowed_networks)
        self._now = context.now
        self._deadlines = Deadlines(deadline)
        self._session: aiohttp.ClientSession | None = None
        self._tokens = AccessTokens(self._open)

    def concurrency_key(self, action: Leased) -> str:
        """The endpoint."""
        return action.recipient or ""

    def places(self, key: str) -> int:
        """The endpoint's `concurrency`."""
        target = self._endpoint(key)
        return self.per_key if target is None else target.concurrency

    async def prepare(self, action: Leased) -> Prepared | Outcome:
        """Nothing to prepare: the endpoint, which says how the body is written, is looked up when it is sent."""
        return WebhookDelivery(
            self._open,
            self._endpoint,
            self._tokens,
            action.recipient or "",
            action.id,
            action.rendered,
            now=self._now,
            deadlines=self._deadlines,
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = StatusConnector(
                resolver=Resolver(self._guard), socket_factory=self._guard.socket, limit=0, keepalive_timeout=KEEP_S,
            )  # fmt: skip
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )  # fmt: skip
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        await self._tokens.close()
        if self._session is not None:
            await self._session.close()


class WebhookDelivery:
    """One webhook, ready to be sent."""

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        endpoint: Callable[[str], Target | None],
        tokens: AccessTokens,
        name: str,
        action: str,
        content: Mapping[str, Any],
        *,
        now: Callable[[], int],
        deadlines: Deadlines,
    ) -> None:
        self._session = session
        self._endpoint = endpoint
        self._tokens = tokens
        self._name = name
        self._action = action
        self._content = content
        self._now = now
        self._deadlines = deadlines

    async def drop(self) -> None:
        """Nothing to give back."""

    async def send(self, begun_at: int) -> Outcome:  # noqa: ARG002
        """Send the webhook. Without an answer it is tried again: the receiver tells a repeat by its id."""
        target = self._endpoint(self._name)
        if target is None:
            return Outcome(kind="permanent", reason="endpoint_unknown", detail=self._name)
        answer = expect()
        try:
            return await self._post(target, answer)
        except NoToken as error:
            return Outcome(kind="temporary", reason="no_token", detail=str(error))
        except CannotBeWritten as error:
            return Outcome(kind="permanent", reason="template_error", detail=str(error))
        except (AddressRefused, aiohttp.ClientError, OSError, ValueError) as error:
            if answer.status is not None:
                return judged(answer.status, {}, b"", self._now())
            if isinstance(error, TimeoutError):
                return Outcome(
                    kind="temporary",
                    reason="timeout",
                    detail=f"no answer within {self._deadlines.seconds:g} s",
                )
            refused = error if isinstance(error, aiohttp.InvalidURL) else refusal_in(error)
            if refused is not None:
                return Outcome(kind="permanent", reason="address_refused", detail=str(refused))
            return Outcome(
                kind="temporary", reason="unreachable", detail=f"{type(error).__name__}: {error}"[:500]
            )

    async def _post(self, target: Target, answer: FinalStatus) -> Outcome:
        """Post it. If its access token is refused, post it once again with another one."""
        with self._deadlines.next() as deadline:
            client = None if target.auth is None else target.auth.oauth2
            if client is None:
                return await self._request(target, deadline)
            token = await self._tokens.get(client)
            async with self._response(target, token) as response:
                if response.status != UNAUTHORIZED:
                    deadline.met()
                    return await self._judged(target, response, token)
                answer.status = None
            self._tokens.refused(client, token)
            return await self._request(target, deadline, await self._tokens.get(client))

    async def _request(self, target: Target, deadline: Deadline, token: str | None = None) -> Outcome:
        async with self._response(target, token) as response:
            deadline.met()
            return await self._judged(target, response, token)

    def _response(
        self, target: Target, token: str | None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        one = request_of(target, self._action, self._now() // SECOND_US, self._content, token)
        return self._session().request(
            one.method, one.url, data=one.body, headers=one.headers, allow_redirects=False
        )

    async def _judged(self, target: Target, response: aiohttp.ClientResponse, token: str | None) -> Outcome:
        answer = hide(target, await read(response), token)
        return judged(response.status, response.headers, answer, self._now())


def webhook_channel(context: ChannelContext) -> WebhookChannel:
    """The channel."""
    return WebhookChannel(context)
