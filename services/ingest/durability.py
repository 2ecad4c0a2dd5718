"""Lets requests wait for the log. The log's thread wakes the event loop once for all requests that a commit served."""

import asyncio
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")


class DurabilityWaiter:
    """Belongs to the event loop that waits first. Any thread may resolve the futures."""

    def __init__(self, patience: float) -> None:
        """`patience`: the longest time that a request waits, in seconds."""
        self._patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._called = False

    async def until_done(self, future: Future[Result]) -> Result:
        """The future's result, once it has one. Raises its exception, or `TimeoutError` after cancelling it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._called = loop, False
        waiter: asyncio.Future[Result] = loop.create_future()
        timer = loop.call_later(self._patience, _give_up, waiter)
        future.add_done_callback(partial(self._tell, loop, waiter))
        try:
            return await waiter
        except TimeoutError:
            future.cancel()
            raise
        finally:
            timer.cancel()
            # Both hold the exception, which holds this frame and, through its callers' frames, the whole
            # request. They would stay until garbage collection, hundreds of them while the log is away.
            del future, waiter

    def _tell(self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[Any], ended: Future[Any]) -> None:
        self._ended.append((waiter, ended))
        if not self._called:  # else a call is pending, and handles this one too
            self._called = True
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._called = False
        while self._ended:
            waiter, ended = self._ended.popleft()
            if waiter.done() or ended.cancelled():
                continue
            error = ended.exception()
            if error is None:
                waiter.set_result(ended.result())
            else:
                waiter.set_exception(error)


def _give_up(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
