"""Channel `webhook`: a signed request to an endpoint, with the same id at every attempt.

Nothing from the other side is trusted: no redirect is followed, no compressed answer is asked for or unpacked, and at
most 64 KiB of an answer are read. One deadline holds for everything up to the status. Proxies of the environment are
ignored. The status decides; the body is for people, as far as it arrives.
"""

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from schemas.endpoint import AT_ONCE
from services.actions.channels.base import ChannelContext, Prepared, Target
from services.actions.channels.webhook.answer import judged
from services.actions.channels.webhook.connections import Answer, Connections
from services.actions.channels.webhook.deadlines import Deadlines
from services.actions.channels.webhook.final_status import FinalStatus
from services.actions.channels.webhook.oauth import AccessTokens, NoToken
from services.actions.channels.webhook.request import CannotBeWritten, hide, request_of
from services.actions.channels.webhook.ssrf import AddressGuard, AddressRefused, refusal_in
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome

DEADLINE_S = 20.0  # for name, connection, request, and the status of the answer
SECOND_US = 1_000_000
UNAUTHORIZED = 401


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
        self._connections: Connections | None = None
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

    def _open(self) -> Connections:
        if self._connections is None:
            self._connections = Connections(self._guard)
        return self._connections

    async def close(self) -> None:
        """Close the connections."""
        await self._tokens.close()
        if self._connections is not None:
            await self._connections.close()


class WebhookDelivery:
    """One webhook, ready to be sent."""

    def __init__(
        self,
        connections: Callable[[], Connections],
        endpoint: Callable[[str], Target | None],
        tokens: AccessTokens,
        name: str,
        action: str,
        content: Mapping[str, Any],
        *,
        now: Callable[[], int],
        deadlines: Deadlines,
    ) -> None:
        self._connections = connections
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
        status = FinalStatus()
        try:
            return await self._post(target, status)
        except NoToken as error:
            return Outcome(kind="temporary", reason="no_token", detail=str(error))
        except CannotBeWritten as error:
            return Outcome(kind="permanent", reason="template_error", detail=str(error))
        except (AddressRefused, aiohttp.ClientError, OSError, ValueError) as error:
            said = status.status
            if said is not None:
                return judged(said, {}, b"", self._now())
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

    async def _post(self, target: Target, status: FinalStatus) -> Outcome:
        """Post it. If its access token is refused, post it once again with another one."""
        with self._deadlines.next() as deadline:
            client = None if target.auth is None else target.auth.oauth2
            token = None if client is None else await self._tokens.get(client)
            answer = await self._sent(target, status, token)
            if client is not None and token is not None and answer.status == UNAUTHORIZED:
                status.forget()  # first: whatever ends this attempt from here on, it was not refused for good
                await answer.body()
                self._tokens.refused(client, token)
                token = await self._tokens.get(client)
                answer = await self._sent(target, status, token)
            deadline.met()
            said = hide(target, await answer.body(), token)
            return judged(answer.status, answer.headers, said, self._now())

    async def _sent(self, target: Target, status: FinalStatus, token: str | None) -> Answer:
        one = request_of(target, self._action, self._now() // SECOND_US, self._content, token)
        return await self._connections().send(one, status)


def webhook_channel(context: ChannelContext) -> WebhookChannel:
    """The channel."""
    return WebhookChannel(context)
