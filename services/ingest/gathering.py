"""Callers on the event loop share one call to a thread: while it is under way, later ones gather for the next.

A thread for each caller would wait for the same lock, and handing over to it and back costs more than its share of the
work.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from backbone.errors import DatabaseUnavailable
from services.ingest.thread_pools import at_the_door

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gathering(Generic[Item, Result]):
    """Belongs to the event loop. At most one call is under way, with up to `most` items of several callers."""

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]], most: int) -> None:
        """`work` blocks, and gives one result per item. Its error is raised only for whose items caused it."""
        self._work = work
        self._most = most
        self._waiting: deque[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def run(self, items: Sequence[Item]) -> Sequence[Result]:
        """The results for these items, in order. Raises the errors of `work`."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[Sequence[Result]] = loop.create_future()
        self._waiting.append((items, mine))
        if self._task is None:
            self._task = loop.create_task(self._work_off())
        return await mine

    async def _work_off(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft()]
            count = len(taken[0][0])
            while self._waiting and count + len(self._waiting[0][0]) <= self._most:
                taken.append(self._waiting.popleft())
                count += len(taken[-1][0])
            found = await at_the_door(self._each, [items for items, _ in taken])
            for (_, future), result in zip(taken, found, strict=True):
                if future.done():  # its caller has gone
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        self._task = None

    def _each(self, parts: Sequence[Sequence[Item]]) -> Sequence[Sequence[Result] | Exception]:
        """The results of each caller's items, or its error."""
        try:
            results = self._work([item for items in parts for item in items])
        except DatabaseUnavailable as error:  # concerns all callers: nobody waits for a second try
            return [error] * len(parts)
        except Exception as error:  # noqa: BLE001 - it comes again for whom it is about
            return [error] if len(parts) == 1 else [self._alone(items) for items in parts]
        found, at = [], 0
        for items in parts:
            found.append(results[at : at + len(items)])
            at += len(items)
        return found

    def _alone(self, items: Sequence[Item]) -> Sequence[Result] | Exception:
        try:
            return self._work(items)
        except Exception as error:  # noqa: BLE001 - whoever waits for it raises it
            return error
