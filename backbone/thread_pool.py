"""Threads of one's own for what must be answered while others are busy.

Handlers that block share the framework's forty threads; forty of them that wait for something slow, and whoever comes
next stands behind them. The look at a key, and the door for events, do not.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class ThreadPool:
    """`await lane(function, …)` runs a blocking function in one of so many threads; they start when needed."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def __call__(
        self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """What the function returns or raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *args, **kwargs))
