"""Bodies that are read before anybody has vouched for their senders, and how much of them a process keeps.

Nearly every route looks at the key first, and keeps nothing of a body without one. Two kinds cannot: the open
ones, such as a click on *unsubscribe*, and those whose clients put the key into the body (`@key_in_body`). All of
these share one small room. When it is full, the oldest body in it, which has had the most time to arrive, goes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from backbone.errors import RateLimited

MAX_UNVOUCHED = 16 * 1_048_576  # bytes in a process
MAX_OPEN_BODY = 16_384  # bytes of the body of a route that asks for no key

Handler = TypeVar("Handler", bound=Callable[..., Any])
KeyOf = Callable[[bytes], str | None]


def key_in_body(key_of: KeyOf) -> Callable[[Handler], Handler]:
    """Decorator: without an Authorization header, `key_of(body)` is this route's key; None: there is none.

    `key_of` gets bytes that anybody may have sent, unpacked and within the limit on size; it raises nothing.
    """

    def mark(handler: Handler) -> Handler:
        handler.key_in_body = key_of  # type: ignore[attr-defined]
        return handler

    return mark


class HeldBytes:
    """One body in the room."""

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self._deadline = deadline
        self.size = 0
        self.evicted = False

    def evict(self) -> None:
        """Give up waiting for the rest of it."""
        self.evicted = True
        self._deadline.reschedule(asyncio.get_running_loop().time())


class BodyBudget:
    """Belongs to the event loop. `most`: bytes at once."""

    def __init__(self, most: int = MAX_UNVOUCHED) -> None:
        self._most = most
        self._held: dict[HeldBytes, None] = {}  # the oldest first
        self.size = 0

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Callable[[int], None]]:
        """While a body is read: call what this gives with the size of each piece. Raises `RateLimited`."""
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
