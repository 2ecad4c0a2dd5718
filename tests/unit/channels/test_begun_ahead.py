"""What has begun and waits for a place: the lanes that send it, and what is given up before."""

import asyncio
from collections.abc import Callable

import pytest

from backbone.clock import counted
from services.actions.delivery import begun_ahead
from services.actions.delivery.attempt_writer import BatchResult
from services.actions.delivery.begun_ahead import FRESH_US, BegunAhead
from services.actions.delivery.lease_book import Key
from services.actions.plays.model import Leased
from tests.unit.channels.helpers import leased

CRM, OTHER = ("webhook", "crm"), ("webhook", "other")


class Wire:
    """Deliveries that end when they are let through, as the dispatcher makes them."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.sent: list[str] = []
        self.dropped: list[str] = []
        self.now = self.most = 0
        self.ahead = BegunAhead(self._deliver, self.tasks, self._drop)

    def add(self, key: Key, *names: str, fresh_us: int = FRESH_US) -> None:
        begun = dict.fromkeys(names, 1)
        written = BatchResult(begun=begun, at=5, fresh_until=counted() + fresh_us)
        self.ahead.add([(key, leased(name)) for name in names], written)

    async def _deliver(self, key: Key, action: Leased) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.open.wait()
            if self.ahead.take(action.id) is not None:
                self.sent.append(action.id)
            await asyncio.sleep(0)
        finally:
            self.now -= 1
            del self.tasks[action.id]
            if self.ahead.left(action.id):
                self.dropped.append(action.id)

    def _drop(self, action: str) -> None:
        assert self.ahead.left(action)
        self.dropped.append(action)


async def turns(until: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to it")


NAMES = [f"act_{n}" for n in range(10)]


async def test_every_place_has_a_lane_and_none_has_two() -> None:
    wire = Wire()
    wire.add(CRM, *NAMES)
    wire.add(OTHER, "act_other")
    wire.ahead.send(CRM, 3)
    wire.ahead.send(CRM, 3)
    wire.ahead.send(OTHER, 3)
    await turns(lambda: wire.now == 4)
    wire.open.set()
    await turns(lambda: len(wire.sent) == 11)
    assert sorted(wire.sent) == sorted([*NAMES, "act_other"])
    assert [one for one in wire.sent if one != "act_other"] == NAMES  # first come, first served
    assert (wire.most, wire.dropped) == (4, [])
    await turns(lambda: not wire.ahead._lanes)
    assert not wire.ahead._queues
    assert not wire.ahead._places


async def test_more_places_get_more_lanes() -> None:
    wire = Wire()
    wire.add(CRM, *NAMES)
    wire.ahead.send(CRM, 1)
    await turns(lambda: wire.now == 1)
    wire.ahead.send(CRM, 4)
    await turns(lambda: wire.now == 4)


async def test_the_place_of_a_lane_that_was_cancelled_is_used_again() -> None:
    wire = Wire()
    wire.add(CRM, *NAMES)
    wire.ahead.send(CRM, 2)
    await turns(lambda: wire.now == 2)
    for one in NAMES[:2]:
        wire.ahead.let_go(one)
    await turns(lambda: {*wire.tasks} == {*NAMES[2:4]})
    wire.open.set()
    await turns(lambda: len(wire.sent) == 8)
    assert sorted(wire.dropped) == NAMES[:2]
    assert not {*wire.sent} & {*wire.dropped}
    assert wire.most == 2


async def test_what_no_lane_has_taken_up_is_let_go_and_never_sent() -> None:
    """Not even if it is leased anew, and begins once more, before a lane comes to where it was."""
    wire = Wire()
    wire.add(CRM, *NAMES)
    wire.ahead.send(CRM, 1)
    await turns(lambda: wire.now == 1)
    wire.ahead.let_go("act_5")
    wire.ahead.let_go("act_6")
    assert wire.dropped == ["act_5", "act_6"]
    wire.add(CRM, "act_6")
    wire.open.set()
    await turns(lambda: len(wire.sent) == 9)
    assert wire.sent == [*NAMES[:5], *NAMES[7:], "act_6"]


async def test_what_waits_for_too_long_is_let_go() -> None:
    wire = Wire()
    wire.add(CRM, *NAMES[:5], fresh_us=0)
    wire.add(CRM, *NAMES[5:])
    wire.ahead.send(CRM, 2)
    await turns(lambda: wire.now == 2)
    while len(wire.dropped) < 5:  # the timer comes
        await asyncio.sleep(0.001)
    wire.open.set()
    await turns(lambda: len(wire.sent) == 5)
    assert (wire.sent, sorted(wire.dropped)) == (NAMES[5:], NAMES[:5])


async def test_after_a_stop_nothing_more_is_taken_up() -> None:
    wire = Wire()
    wire.add(CRM, *NAMES)
    wire.ahead.send(CRM, 2)
    await turns(lambda: wire.now == 2)
    wire.ahead.stop()
    for task in [*wire.tasks.values()]:
        task.cancel()
    await turns(lambda: not wire.ahead._lanes)
    assert (wire.sent, wire.now) == ([], 0)


async def test_what_is_taken_is_not_given_back_and_what_is_late_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = Wire()
    wire.add(CRM, "act_1", "act_2")
    assert wire.ahead.waits("act_1")
    assert wire.ahead.take("act_1") == (1, 5)
    assert not wire.ahead.waits("act_1")
    assert not wire.ahead.left("act_1")
    monkeypatch.setattr(begun_ahead, "counted", lambda: counted() + FRESH_US + 1)
    assert wire.ahead.take("act_2") is None
    assert wire.ahead.left("act_2")
