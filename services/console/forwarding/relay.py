"""Passes one request on to a service and its answer back, both while they arrive; nothing is kept whole."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from starlette.types import Message, Receive, Scope, Send

from backbone.errors import BadGateway
from services.console.forwarding.headers import Pairs, passed_back
from services.console.forwarding.upstream import Exchange, ServiceUnreachable, Upstream, late

PIECE = 16_384  # bytes of an answer passed on at once
JOINED_S = 10.0  # how long an answer may take that others wait for
MOST_JOINED = 16 * 1_048_576  # bytes of an answer that is read whole, to be joined with others


class Whole(NamedTuple):
    """An answer that was read whole."""

    status: int
    headers: Pairs
    body: bytes

    @property
    def fine(self) -> bool:
        """Whether it is no refusal."""
        return self.status < 400


async def relay(
    upstreams: Sequence[Upstream], scope: Scope, receive: Receive, send: Send, *, query: bytes | None = None
) -> None:
    """Pass a request to the first of these services that can be reached. Raises as `Upstream.open` does.

    The next one is only tried as long as nothing of the body was read, and nothing answered.
    """
    touched = False

    async def once() -> Message:
        nonlocal touched
        touched = True
        return await receive()

    for place, upstream in enumerate(upstreams, 1):
        try:
            async with upstream.open(scope, once, query=query) as exchange:
                touched = True
                await _pass_back(exchange, receive, send)
            return
        except ServiceUnreachable:
            if touched or place == len(upstreams):
                raise


async def read_whole(
    upstream: Upstream, scope: Scope, *, query: bytes | None = None, within_s: float = JOINED_S
) -> Whole:
    """A service's answer to a request without its body. Raises as `Upstream.open` and `whole_of` do."""
    try:
        async with asyncio.timeout(within_s), upstream.open(scope, None, query=query) as exchange:
            return await whole_of(exchange, upstream.name)
    except TimeoutError:
        raise late(upstream.name) from None


async def whole_of(exchange: Exchange, service: str) -> Whole:
    """The rest of an answer. Raises `BadGateway` if there is no end to it."""
    body = bytearray()
    async for piece in exchange.answer.content.iter_any():
        body += piece
        if len(body) > MOST_JOINED:
            raise BadGateway(f"the {service} service answered more than can be joined")
    return Whole(exchange.answer.status, passed_back(exchange.answer.raw_headers), bytes(body))


async def send_whole(answer: Whole, send: Send) -> None:
    """Pass an answer on as it is."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _pass_back(exchange: Exchange, receive: Receive, send: Send) -> None:
    answer, held = exchange.answer, exchange.held
    headers = passed_back(answer.raw_headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    # an answer before the end of the body is a refusal, and short
    leaving = asyncio.create_task(_gone(receive)) if exchange.sent_all else None
    try:
        async for piece in answer.content.iter_chunked(PIECE):
            held.waits_for_client()
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            held.waits_for_service()
            if leaving is not None and leaving.done():
                return
        await send({"type": "http.response.body", "body": b""})
    finally:
        if leaving is not None:
            leaving.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
