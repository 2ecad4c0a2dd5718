"""Concurrent requests share a transaction: while one is committed, later ones gather for the next."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from backbone.errors import DatabaseUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """`run` blocks; call it from worker threads. One `work` is under way at a time, with up to `most` items."""

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]], most: int) -> None:
        """`work` gives one result per item. Its error is raised only for the caller whose items caused it."""
        self._work = work
        self._most = most
        self._working = threading.Lock()
        self._waiting: deque[tuple[Sequence[Item], Future[Sequence[Result]]]] = deque()

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        """The results for these items, in order. Raises the errors of `work`."""
        mine: Future[Sequence[Result]] = Future()
        self._waiting.append((items, mine))
        while not mine.done():
            with self._working:
                if not mine.done():
                    self._some()
        return mine.result()

    def _some(self) -> None:
        """Do the waiting work, oldest first."""
        taken = [self._waiting.popleft()]
        count = len(taken[0][0])
        while self._waiting and count + len(self._waiting[0][0]) <= self._most:
            taken.append(self._waiting.popleft())
            count += len(taken[-1][0])
        if len(taken) > 1 and self._all(taken):
            return
        for items, future in taken:
            try:
                future.set_result(self._work(items))
            except Exception as error:  # noqa: BLE001 - whoever waits for it raises it
                future.set_exception(error)

    def _all(self, taken: Sequence[tuple[Sequence[Item], Future[Sequence[Result]]]]) -> bool:
        """Do all of it in one call. False: that failed, perhaps because of a single caller's items."""
        try:
            results = self._work([item for items, _ in taken for item in items])
        except DatabaseUnavailable as error:  # concerns all callers: nobody waits for a second try
            for _, future in taken:
                future.set_exception(error)
            return True
        except Exception:  # noqa: BLE001 - it comes again for whom it is about
            return False
        at = 0
        for items, future in taken:
            future.set_result(results[at : at + len(items)])
            at += len(items)
        return True
