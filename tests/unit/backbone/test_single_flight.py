"""One answer for all who ask at the same time."""

import asyncio
import threading

import pytest

from backbone.single_flight import SingleFlight


async def test_it_is_made_once_for_all_who_wait() -> None:
    made: list[int] = []
    go = threading.Event()

    def make() -> int:
        go.wait(10)
        made.append(1)
        return len(made)

    shared = SingleFlight(make, keep_s=60)
    asking = [asyncio.create_task(shared()) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()  # who goes away takes it from nobody else
    go.set()
    assert (await asyncio.gather(*asking[1:])) == [1] * 49
    assert await shared() == 1
    assert made == [1]


async def test_it_is_kept_for_a_while() -> None:
    now, made = 0.0, 0

    def make() -> int:
        nonlocal made
        made += 1
        return made

    shared = SingleFlight(make, keep_s=1.0, monotonic=lambda: now)
    assert await shared() == 1
    now = 0.9
    assert await shared() == 1
    now = 1.0
    assert await shared() == 2


async def test_what_went_wrong_is_not_kept() -> None:
    answers: list[int | Exception] = [ValueError("no"), 7]

    def make() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    shared = SingleFlight(make)
    with pytest.raises(ValueError, match="no"):
        await shared()
    assert await shared() == 7
