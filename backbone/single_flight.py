"""An answer that is made once for all who ask at the same time, and kept for a while."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

from backbone.thread_pool import ThreadPool

Value = TypeVar("Value")
_making = ThreadPool("shared", 4)


class SharedCall(Generic[Value]):
    """`await call()`. The result of `make` is used for `keep_s` seconds, counted from its beginning.

    An error goes to all who wait, and is not kept. Belongs to the event loop.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[Value]],
        *,
        keep_s: float = math.inf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._keep_s, self._monotonic = make, keep_s, monotonic
        self._kept: tuple[float, Value] | None = None
        self._making: asyncio.Task[Value] | None = None

    async def __call__(self) -> Value:
        """The value: kept, being made, or new."""
        if self._kept is not None and self._monotonic() - self._kept[0] < self._keep_s:
            return self._kept[1]
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._renew())
        return await asyncio.shield(self._making)  # a caller that is cancelled does not cancel the others

    async def _renew(self) -> Value:
        began = self._monotonic()
        value = await self._make()
        self._kept = (began, value)
        return value


class SingleFlight(SharedCall[Value]):
    """The same of a `make` that blocks, which runs in a thread."""

    def __init__(
        self,
        make: Callable[[], Value],
        *,
        keep_s: float = math.inf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(partial(_making, make), keep_s=keep_s, monotonic=monotonic)
