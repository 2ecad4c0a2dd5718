"""Deadlines of requests that may all take as long: one timer serves all, as they end in the order in which they began.

`asyncio.timeout` sets a timer for each, which costs a fifth of what a request to a quick endpoint costs.
"""

import asyncio
from collections import deque


class Deadline:
    """Ends its block with `TimeoutError` when its time has come, unless it is `met` before. Made by `Deadlines`."""

    __slots__ = ("_cancelling", "_expired", "_task", "at")

    def __init__(self, at: float) -> None:
        self.at = at  # by the loop's clock
        self._task: asyncio.Task[object] | None = None
        self._expired = False

    def __enter__(self) -> "Deadline":
        self._task = asyncio.current_task()
        assert self._task is not None  # noqa: S101  requests are made in tasks
        self._cancelling = self._task.cancelling()
        return self

    def met(self) -> None:
        """What had to happen in time has happened."""
        self._task = None

    def expire(self) -> None:
        """End the block, if it is not over."""
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    @property
    def over(self) -> bool:
        """Whether it needs no timer."""
        return self._task is None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        task, self._task = self._task, None
        if not self._expired or task is None:
            return
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


class Deadlines:
    """Deadlines `seconds` after they are made. Belongs to one event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._open: deque[Deadline] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    def next(self) -> Deadline:
        """A deadline that begins now."""
        loop = asyncio.get_running_loop()
        one = Deadline(loop.time() + self.seconds)
        self._open.append(one)
        if self._alarm is None:
            self._alarm = loop.call_at(one.at, self._look)
        return one

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while self._open and (self._open[0].over or self._open[0].at <= loop.time()):
            self._open.popleft().expire()
        self._alarm = loop.call_at(self._open[0].at, self._look) if self._open else None
