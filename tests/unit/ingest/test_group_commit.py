"""Requests that come at once share the work; each gets its own results, or what was wrong with it alone."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from backbone.errors import DatabaseUnavailable
from services.ingest.group_commit import GroupCommit


class Work:
    """Doubles numbers; holds the first batch until it is let go, so that the others gather behind it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began, self.go_on = threading.Event(), threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        if len(self.batches) == 1:
            self.began.set()
            self.go_on.wait()
        if -1 in items:
            raise ValueError(items)
        if -2 in items:
            raise DatabaseUnavailable("away")
        return [2 * item for item in items]


def behind_one_another(work: Work, most: int, *requests: list[int]) -> list[Future[Sequence[int]]]:
    """The requests, all waiting before the first of them is done."""
    together: GroupCommit[int, int] = GroupCommit(work, most)
    with ThreadPoolExecutor(len(requests)) as pool:
        made = [pool.submit(together.run, requests[0])]
        work.began.wait()
        for count, items in enumerate(requests[1:], 1):
            made.append(pool.submit(together.run, items))
            until(lambda count=count: len(together._waiting) == count)  # type: ignore[misc]
        work.go_on.set()
    return made


def until(holds: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(2_000):
        if holds():
            return
        waiting.wait(0.005)
    raise AssertionError("it never came")


def test_what_waits_is_done_at_once_and_in_order() -> None:
    work = Work()
    made = behind_one_another(work, 5, [1], [2, 3], [4], [5, 6, 7], [8, 9, 10, 11, 12, 13])
    assert [one.result() for one in made] == [
        [2], [4, 6], [8], [10, 12, 14], [16, 18, 20, 22, 24, 26]
    ]  # fmt: skip
    assert work.batches == [[1], [2, 3, 4], [5, 6, 7], [8, 9, 10, 11, 12, 13]]


def test_one_that_fails_takes_nobody_with_it() -> None:
    work = Work()
    made = behind_one_another(work, 100, [1], [2], [-1], [3])
    assert [one.result() for one in (made[0], made[1], made[3])] == [[2], [4], [6]]
    with pytest.raises(ValueError, match="-1"):
        made[2].result()
    assert work.batches == [[1], [2, -1, 3], [2], [-1], [3]]


def test_a_database_that_is_away_is_away_for_all() -> None:
    work = Work()
    made = behind_one_another(work, 100, [1], [2], [-2], [3])
    assert made[0].result() == [2]
    for one in made[1:]:
        with pytest.raises(DatabaseUnavailable):
            one.result()
    assert work.batches == [[1], [2, -2, 3]]
