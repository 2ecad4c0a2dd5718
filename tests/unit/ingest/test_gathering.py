"""Callers on the event loop share calls to a thread; each gets its own results, or its own error."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from backbone.errors import DatabaseUnavailable
from services.ingest.gathering import Gathering


class Work:
    """Doubles numbers; `calls` holds what came together. The first call waits for `go`."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(items))
        if len(self.calls) == 1:
            assert self.go.wait(30)
        if 13 in items:
            raise ValueError("13")
        if 404 in items:
            raise DatabaseUnavailable("away")
        return [2 * one for one in items]


async def results(work: Work, most: int, *parts: list[int]) -> list[object]:
    """What callers with these items get who come while a first call, of [0], is under way."""
    together = Gathering(work, most)
    first = asyncio.create_task(together.run([0]))
    while not work.calls:
        await asyncio.sleep(0)
    others = [asyncio.create_task(together.run(items)) for items in parts]
    await asyncio.sleep(0)
    work.go.set()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert found[0] == [0]
    return list(found[1:])


async def test_who_comes_meanwhile_shares_the_next_call() -> None:
    work = Work()
    assert await results(work, 10, [1], [2, 3], [4]) == [[2], [4, 6], [8]]
    assert work.calls == [[0], [1, 2, 3, 4]]


async def test_a_call_has_so_many_items_at_most_but_no_caller_is_split() -> None:
    work = Work()
    assert await results(work, 3, [1], [2, 3, 4, 5], [6], [7]) == [[2], [4, 6, 8, 10], [12], [14]]
    assert work.calls == [[0], [1], [2, 3, 4, 5], [6, 7]]


async def test_an_error_is_raised_only_for_whom_it_is_about() -> None:
    work = Work()
    found = await results(work, 10, [1], [13], [2])
    assert (found[0], found[2]) == ([2], [4])
    assert isinstance(found[1], ValueError)
    assert await Gathering(work, 10).run([5]) == [10]


async def test_while_the_database_is_away_nobody_waits_for_a_second_try() -> None:
    work = Work()
    found = await results(work, 10, [1], [404], [2])
    assert [type(one) for one in found] == [DatabaseUnavailable] * 3
    assert work.calls == [[0], [1, 404, 2]]


async def test_a_caller_that_has_gone_takes_no_other_with_it() -> None:
    work = Work()
    together = Gathering(work, 10)
    first = asyncio.create_task(together.run([0]))
    while not work.calls:
        await asyncio.sleep(0)
    gone, other = (asyncio.create_task(together.run([one])) for one in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    work.go.set()
    assert await other == [4]
    with pytest.raises(asyncio.CancelledError):
        await gone
