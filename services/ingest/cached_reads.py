"""What the door knows from the database, not older than a second, without a look at it for every request."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from backbone.errors import TouchlineError
from services.ingest.thread_pools import at_the_door

MAX_AGE_S = 0.5  # with the time that a look takes, others' changes are known within a second
PATIENCE_S = 0.25  # how long a request waits for a look; then what was known before holds for it
Value = TypeVar("Value")


class CachedRead(Generic[Value]):
    """Belongs to the event loop. `load(before)` blocks: it runs in a thread, one at a time.

    `changing`: whether this process is writing what is looked at; then every request looks. `newer`: which of what is
    known and what was found holds, where this process may have changed it meanwhile. While the database is away, what
    was known holds.
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
        """What is known."""
        if self._monotonic() - self._looked > MAX_AGE_S or self._changing():
            await self._look()
        return self._value

    @property
    def known(self) -> Value:
        """What was known last, without a look."""
        return self._value

    def put(self, value: Value) -> None:
        """This process has changed it itself."""
        self._value = value

    async def _look(self) -> None:
        """One look for all who ask meanwhile; one that takes longer than `PATIENCE_S` is waited for no more."""
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
