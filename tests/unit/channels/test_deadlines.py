"""Deadlines of requests: one timer for all of them, and each ends its own block and nothing else."""

import asyncio

import pytest

from services.actions.channels.webhook.deadlines import Deadline, Deadlines

LONG_S = 60.0


async def test_a_block_that_takes_too_long_ends() -> None:
    with pytest.raises(TimeoutError), Deadlines(0.01).next():
        await asyncio.sleep(LONG_S)
    await asyncio.sleep(0)  # nothing is left that would cancel the task


async def test_what_was_met_goes_on_for_as_long_as_it_likes() -> None:
    deadlines = Deadlines(0.01)
    with deadlines.next() as one:
        one.met()
        while deadlines._alarm is not None:
            await asyncio.sleep(0.001)
    with deadlines.next():
        pass
    while deadlines._alarm is not None:
        await asyncio.sleep(0.001)


async def test_of_many_only_the_late_ones_end() -> None:
    deadlines, ended = Deadlines(0.05), list[str]()

    async def work(name: str, *, late: bool) -> None:
        try:
            with deadlines.next():
                await asyncio.sleep(LONG_S if late else 0)
            ended.append(f"{name} done")
        except TimeoutError:
            ended.append(f"{name} late")

    await asyncio.gather(*(work(f"{n}", late=n % 2 == 1) for n in range(6)))
    assert sorted(ended) == ["0 done", "1 late", "2 done", "3 late", "4 done", "5 late"]
    assert not deadlines._open


async def test_somebody_else_who_cancels_is_not_a_deadline() -> None:
    async def work() -> None:
        with Deadlines(LONG_S).next():
            await asyncio.sleep(LONG_S)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_somebody_who_cancels_when_it_is_late_as_well_is_obeyed() -> None:
    made = list[Deadline]()

    async def work() -> None:
        with Deadlines(LONG_S).next() as one:
            made.append(one)
            await asyncio.sleep(LONG_S)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    made[0].expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_stays_what_it_is() -> None:
    with pytest.raises(OSError, match="gone"), Deadlines(LONG_S).next():
        raise OSError("gone")
