"""The gate: few at once to whoever answers quickly, many to whoever takes long, and nobody held up for ever."""

import asyncio
import time

import pytest

from services.actions.channels.email import concurrency as module
from services.actions.channels.email.concurrency import SAMPLES, AdaptiveLimit

LEAST, STEP_S, PATIENCE_S = 2, 0.002, 0.25


def made(patience: float = PATIENCE_S) -> AdaptiveLimit:
    return AdaptiveLimit(least=LEAST, step=STEP_S, patience=patience)


class Loop:
    """The loop's clock, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Loop:
    return Loop(monkeypatch)


async def measure(gate: AdaptiveLimit, clock: Loop, took: float) -> None:
    for _ in range(SAMPLES):
        with await gate.enter():
            clock.now += took


@pytest.mark.parametrize(
    ("took", "room"),
    [(0.0004, LEAST), (3.5 * STEP_S, LEAST + 3), (9.0, LEAST + int(PATIENCE_S / STEP_S))],
)
async def test_the_room_follows_from_the_quickest_answer(clock: Loop, took: float, room: int) -> None:
    gate = made()
    await measure(gate, clock, took)
    assert gate.room == room


async def test_one_at_a_time_until_it_is_measured(clock: Loop) -> None:
    gate = made()
    first = await gate.enter()
    second = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    assert not second.done()
    first.__exit__(None, None, None)
    (await second).__exit__(None, None, None)


async def test_a_quick_failure_measures_nothing(clock: Loop) -> None:
    gate = made()
    for _ in range(SAMPLES):
        with pytest.raises(OSError, match="refused"), await gate.enter():
            raise OSError("refused")
    assert gate.room == 1
    await measure(gate, clock, 3.5 * STEP_S)
    assert gate.room == LEAST + 3


async def test_answers_to_many_at_once_measure_nothing(clock: Loop) -> None:
    gate = made()
    await measure(gate, clock, 0.0004)
    passes = [await gate.enter() for _ in range(LEAST)]
    clock.now += 1
    for one in passes:
        one.__exit__(None, None, None)
    assert gate.room == LEAST
    clock.now += module.AGAIN_S
    await measure(gate, clock, 9.0)  # and after a while it is measured again
    assert gate.room > LEAST


async def test_what_stays_without_an_answer_holds_up_nobody() -> None:
    gate = made(patience=0.001)
    stuck = [await asyncio.wait_for(gate.enter(), 10) for _ in range(5)]
    for one in stuck:
        one.__exit__(None, None, None)  # late, and without a second effect
    last = await asyncio.wait_for(gate.enter(), 10)
    last.__exit__(None, None, None)
    assert gate._inside == 0


async def test_patience_grows_while_nothing_is_answered(clock: Loop) -> None:
    """A server that stalls has few on the wire when we are killed; one that answers again is as before."""
    gate = made()
    stuck = []
    for times in (1, 2, 4, 8, 8):
        assert gate.patience == times * PATIENCE_S
        one = await gate.enter()
        clock.now += gate.patience
        one._tire(clock.now)
        stuck.append(one)
    with pytest.raises(TimeoutError), await gate.enter():
        raise TimeoutError
    assert gate.patience == 8 * PATIENCE_S
    stuck[0].__exit__(None, None, None)
    assert gate.patience == PATIENCE_S


async def test_patience_that_ends_late_is_no_sign() -> None:
    """The loop was busy: the answer may be here, unread. Timers come before what was received."""
    gate = made(patience=0.02)
    first = await gate.enter()
    second = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    time.sleep(gate.patience + 2 * module.LATE_S)  # busy
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    (await asyncio.wait_for(second, 10)).__exit__(None, None, None)  # idle: then it ends
    first.__exit__(None, None, None)
    assert gate._inside == 0


async def test_whoever_stops_waiting_takes_no_place(clock: Loop) -> None:
    gate = made()
    first = await gate.enter()
    waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    first.__exit__(None, None, None)  # gives its place to the second, who is cancelled with it in hand
    waiting[1].cancel()
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    (await asyncio.wait_for(waiting[2], 10)).__exit__(None, None, None)
    assert gate._inside == 0
