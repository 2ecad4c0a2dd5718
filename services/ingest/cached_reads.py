"""Values read from the database that are at most a second old, without a query for every request."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from backbone.errors import TouchlineError
from services.ingest.thread_pools import at_the_door

MAX_AGE_S = 0.5  # plus the time of a query, other processes' changes are known within a second
PATIENCE_S = 0.25  # how long a request waits for a query; after that the previous value is used
Value = TypeVar("Value")


class CachedRead(Generic[Value]):
    """Belongs to the event loop. `load(before)` blocks: it runs in a thread, one call at a time.

    `changing`: whether this process is changing the rows; then every request queries. `newer`: chooses between the
    known value and the one found, since this process may have changed it meanwhile. While the database is away, the
    last known value stays.
    """

    def __init__(
        self,
        load: Callable[[Value], Value],
        first: Value,
        *,
        changing: Callable[[], bool] = lambda: False,
        newer: Callable[[Value, Value], Value] = lambda _, found: found,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._value = first
        self._changing = changing
        self._newer = newer
        self._monotonic = monotonic
        self._looked = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def get(self) -> Value:
        """The value, at most `MAX_AGE_S` old."""
        if self._monotonic() - self._looked > MAX_AGE_S or self._changing():
            await self._look()
        return self._value

    @property
    def known(self) -> Value:
        """The last known value, without a query."""
        return self._value

    def put(self, value: Value) -> None:
        """Set the value, which this process has changed itself."""
        self._value = value

    async def _look(self) -> None:
        """Query once for all current callers; nobody waits for it longer than `PATIENCE_S`."""
        now = self._monotonic()
        if self._task is None or self._task.done():
            self._looked = now
            self._task = asyncio.get_running_loop().create_task(self._refresh())
        left = self._looked + PATIENCE_S - now
        if left > 0:
            await asyncio.wait({self._task}, timeout=left)

    async def _refresh(self) -> None:
        with suppress(TouchlineError):
            found = await at_the_door(self._load, self._value)
            self._value = self._newer(self._value, found)
