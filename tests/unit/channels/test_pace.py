"""The pace of mails: no second sees more than the rate, and who gives up costs the others nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.actions.channels.email.pace import Pace
from tests.unit.channels.helpers import deliver, leased
from tests.unit.channels.test_smtp import Scripted, Server, over


class Hand:
    """The loop's time, which moves only when somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr("services.actions.channels.email.pace.asyncio.sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_no_second_sees_more_than_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    hand, pace, went = Hand(monkeypatch), Pace(4), []
    for _ in range(9):
        await pace.turn()
        went.append(hand.now)
    assert went == [pytest.approx(100.0 + number * 1.03 / 4) for number in range(9)]
    assert all(later - first > 1.02 for first, later in zip(went, went[4:], strict=False)), (
        "even if the first is late"
    )
    hand.now += 60  # what was not used is not made up for
    await pace.turn()
    await pace.turn()
    assert hand.now == pytest.approx(went[-1] + 60.2575)


async def test_without_a_rate_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    hand, pace = Hand(monkeypatch), Pace(None)
    for _ in range(5):
        await pace.turn()
    assert hand.now == 100.0


async def test_who_gives_up_takes_no_turn() -> None:
    pace = Pace(0.001)
    await pace.turn()
    waiting = [asyncio.create_task(pace.turn()) for _ in range(2)]
    await asyncio.sleep(0)
    before = pace._free_at
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    assert not waiting[1].done()
    assert pace._free_at == before
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)


async def test_mails_go_out_at_the_pace_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Any] = []

    async def turn(pace: Pace) -> None:
        turns.append(pace)

    monkeypatch.setattr(Pace, "turn", turn)
    async with Server(Scripted()) as server:
        sender = over(server)
        for number in range(3):
            assert (await deliver(sender, leased(f"act_{number}"))).kind == "done"
        await sender.close()
    assert len(turns) == 3
