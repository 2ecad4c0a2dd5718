"""Limits the memory for bodies that are read before their sender's key has been checked.

Nearly every route checks the key first, and keeps no body without one. Three kinds cannot: open routes, such as a
click on *unsubscribe*, routes whose clients put the key into the body (`@key_in_body`), and routes whose clients sign
it (`@may_be_signed`). All of them share one small budget per process. When it is used up, the oldest body, which has
had the most time to arrive, is dropped.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.datastructures import Headers

from backbone.errors import RateLimited
from backbone.web.api_keys import Principal

MAX_UNVOUCHED = 16 * 1_048_576  # bytes per process
MAX_OPEN_BODY = 16_384  # bytes of a body on a route that requires no key and says nothing else (`@open_body`)

Handler = TypeVar("Handler", bound=Callable[..., Any])
KeyOf = Callable[[bytes], str | None]
SignatureCheck = Callable[[Headers, bytes], Awaitable[Principal]]


def key_in_body(key_of: KeyOf) -> Callable[[Handler], Handler]:
    """Decorator: without an Authorization header, `key_of(body)` is the key for this route; None: there is none.

    `key_of` gets bytes that anybody may have sent, unpacked and within the size limit. It must not raise.
    """

    def mark(handler: Handler) -> Handler:
        handler.key_in_body = key_of  # type: ignore[attr-defined]
        return handler

    return mark


def may_be_signed(check: SignatureCheck) -> Callable[[Handler], Handler]:
    """Decorator: without an Authorization header, `check(headers, body)` says who calls this route.

    It gets what anybody may have sent, unpacked and within the size limit, and raises `Unauthorized` if nobody whom we
    know has signed it.
    """

    def mark(handler: Handler) -> Handler:
        handler.may_be_signed = check  # type: ignore[attr-defined]
        return handler

    return mark


def open_body(most: int) -> Callable[[Handler], Handler]:
    """Decorator: the body of this open route may have `most` bytes, in place of `MAX_OPEN_BODY`."""

    def mark(handler: Handler) -> Handler:
        handler.open_body = most  # type: ignore[attr-defined]
        return handler

    return mark


class HeldBytes:
    """One body in the budget."""

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self._deadline = deadline
        self.size = 0
        self.evicted = False

    def evict(self) -> None:
        """Stop waiting for the rest of the body."""
        self.evicted = True
        self._deadline.reschedule(asyncio.get_running_loop().time())


class BodyBudget:
    """Belongs to the event loop. `most`: bytes held at once."""

    def __init__(self, most: int = MAX_UNVOUCHED) -> None:
        self._most = most
        self._held: dict[HeldBytes, None] = {}  # oldest first
        self.size = 0

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Callable[[int], None]]:
        """Hold a body while it is read: call the yielded function with the size of each piece. Raises `RateLimited`."""
        try:
            async with asyncio.timeout(None) as deadline:
                held = HeldBytes(deadline)
                self._held[held] = None
                try:
                    yield lambda size: self._add(held, size)
                finally:
                    self._held.pop(held, None)
                    self.size -= held.size
        except TimeoutError:
            raise RateLimited("too much without a key comes in at once", code="busy") from None

    def _add(self, held: HeldBytes, size: int) -> None:
        held.size += size
        self.size += size
        excess = self.size - self._most
        for other in list(self._held):
            if excess <= 0:
                break
            if not other.evicted:
                other.evict()
                excess -= other.size
