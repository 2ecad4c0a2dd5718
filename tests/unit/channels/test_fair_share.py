"""Places: fair shares among lanes of which some do not answer."""

import asyncio
from collections.abc import Callable

import pytest

from services.actions.delivery import fair_share
from services.actions.delivery.fair_share import FairShare, KeyLimit, UnderWay

MOST = 10


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow after 10 ms, quiet after 50."""
    monkeypatch.setattr(fair_share, "SLOW_S", 0.01)
    monkeypatch.setattr(fair_share, "QUIET_S", 0.05)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


class Bench:
    """Lanes over one channel; who is inside."""

    def __init__(self, channel: int = 100, *, independent: bool = True, slow: bool = True) -> None:
        self.channel = FairShare(channel)
        self.independent, self.slow = independent, slow
        self.inside: list[UnderWay] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def lane(self) -> KeyLimit:
        return KeyLimit(MOST, independent=self.independent)

    def come(self, lane: KeyLimit, many: int = 1) -> list[asyncio.Task[None]]:
        came = [asyncio.create_task(self._come(lane)) for _ in range(many)]
        self.tasks.update(came)
        return came

    async def _come(self, lane: KeyLimit) -> None:
        place = UnderWay(lane, self.channel, (lambda: self.slow) if self.independent else None)
        await place.enter()
        self.inside.append(place)

    async def settle(self) -> int:
        for _ in range(5):
            await asyncio.sleep(0)
        return len(self.inside)


async def test_one_place_until_it_answers_then_all() -> None:
    bench, lane = Bench(), None
    lane = bench.lane()
    bench.come(lane, 2 * MOST)
    assert await bench.settle() == 1
    bench.inside.pop().leave(answered=True)
    assert await bench.settle() == MOST
    bench.inside.pop().leave(answered=False)
    assert await bench.settle() == MOST


async def test_a_lane_that_falls_silent_is_back_at_one() -> None:
    bench = Bench()
    lane = bench.lane()
    lane.answered()
    bench.come(lane, 2 * MOST)
    assert await bench.settle() == MOST
    await until(lambda: lane.limit == 1)
    for _ in range(MOST - 1):
        bench.inside.pop().leave(answered=False)
    assert await bench.settle() == 1
    bench.inside.pop().leave(answered=True)
    assert await bench.settle() == MOST


async def test_the_number_of_places_may_change() -> None:
    bench = Bench()
    lane = bench.lane()
    lane.allow(3)  # before it has answered: one place
    bench.come(lane, 2 * MOST)
    assert await bench.settle() == 1
    bench.inside.pop().leave(answered=True)
    assert await bench.settle() == 3
    lane.allow(5)
    assert await bench.settle() == 5
    lane.allow(2)
    for _ in range(3):
        bench.inside.pop().leave(answered=True)
    assert await bench.settle() == 2
    bench.inside.pop().leave(answered=True)
    assert await bench.settle() == 2


async def test_a_single_place_that_hangs_is_told_from_one_that_answers() -> None:
    bench = Bench()
    lane = bench.lane()
    lane.allow(1)
    bench.come(lane, 3)
    await until(lambda: lane.slow == 1)
    assert lane.blocked
    bench.inside.pop().leave(answered=True)
    await until(lambda: lane.slow == 1)
    assert not lane.blocked  # it answered a moment ago
    await until(lambda: lane.blocked)  # and is silent now


async def test_one_slow_answer_among_quick_ones_is_no_silence() -> None:
    bench = Bench()
    lane = bench.lane()
    lane.answered()
    bench.come(lane)
    await bench.settle()
    slow = bench.inside.pop()
    await until(lambda: lane.slow == 1)
    lane.answered()  # others
    await asyncio.sleep(2 * fair_share.QUIET_S)  # the time itself is what is tested
    assert lane.limit == MOST
    slow.leave(answered=False)
    assert (lane.taken, lane.slow, bench.channel.taken) == (0, 0, 0)


async def test_what_hangs_takes_no_place_of_the_others() -> None:
    bench = Bench(channel=3)
    hung = [bench.lane() for _ in range(30)]
    for lane in hung:
        bench.come(lane, 2)
    await until(lambda: len(bench.inside) == 30)
    await until(lambda: all(lane.blocked for lane in hung))
    bench.come(bench.lane())
    assert await bench.settle() == 31
    for place in bench.inside[:30]:
        place.leave(answered=False)
    assert await bench.settle() >= 33
    assert bench.channel.taken <= 3


async def test_no_more_are_let_in_than_the_process_can_hold() -> None:
    bench = Bench(channel=3, slow=False)
    lanes = [bench.lane() for _ in range(5)]
    for lane in lanes:
        bench.come(lane)
    assert await bench.settle() == 3
    await until(lambda: sum(lane.slow for lane in lanes) == 3)
    assert await bench.settle() == 3
    bench.inside[0].leave(answered=False)
    assert await bench.settle() == 4


async def test_lanes_of_one_machine_share_its_places() -> None:
    """A mail server: its domains do not answer, it does, and slow is no reason to open more connections."""
    bench = Bench(channel=3, independent=False)
    lanes = [bench.lane() for _ in range(5)]
    for lane in lanes:
        bench.come(lane, 2)
    assert await bench.settle() == 3
    await asyncio.sleep(2 * fair_share.QUIET_S)  # the time itself is what is tested
    assert await bench.settle() == 3
    assert not any(lane.blocked for lane in lanes)


@pytest.mark.parametrize("independent", [True, False])
async def test_whoever_stops_waiting_takes_no_place(independent: bool) -> None:
    bench = Bench(channel=1, independent=independent)
    lane, other = bench.lane(), bench.lane()
    bench.come(lane)
    await bench.settle()
    waiting = [*bench.come(lane, 2), *bench.come(other, 2)]
    await bench.settle()
    waiting[0].cancel()
    waiting[2].cancel()
    bench.inside.pop().leave(
        answered=True
    )  # its places go to those who wait, who are cancelled with them in hand
    waiting[1].cancel()
    waiting[3].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for place in bench.inside:
        place.leave(answered=False)
    assert (lane.taken, other.taken, bench.channel.taken) == (0, 0, 0)


async def test_a_key_is_quick_while_it_answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_share, "QUICK_S", 0.5)
    bench = Bench()
    lane = bench.lane()
    assert not lane.quick  # nobody knows
    lane.answered(2.0)
    assert not lane.quick
    while not lane.quick:
        lane.answered(0.001)
    with monkeypatch.context() as patient:
        patient.setattr(fair_share, "QUIET_S", 600.0)  # it is slow, and not yet silent
        bench.come(lane)
        await until(lambda: lane.slow == 1)
        assert not lane.quick
        bench.inside.pop().leave(answered=False)
        assert lane.quick
    bench.come(lane)
    await until(lambda: lane.limit == 1)
    bench.inside.pop().leave(answered=False)
    assert not lane.quick  # silent
    lane.answered(0.001)
    assert lane.quick


async def test_the_time_until_it_leaves_is_not_the_other_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that takes long makes no endpoint slow to answer."""
    bench = Bench()
    lane = bench.lane()
    place = UnderWay(lane, bench.channel, lambda: True)
    await place.enter()
    await until(lambda: lane.slow == 1)
    place.sends()
    place.leave(answered=True)
    assert lane.takes < fair_share.SLOW_S
    assert not KeyLimit(MOST, independent=False).quick


async def test_one_that_waits_again_is_slow_once() -> None:
    bench = Bench()
    lane = bench.lane()
    place = UnderWay(lane, bench.channel, lambda: True)
    for _ in range(3):
        await place.enter()
        place.leave(answered=True)
    await place.enter()
    await until(lambda: lane.slow == 1)
    await until(lambda: lane.limit == 1)  # time for all the others
    assert lane.slow == 1
    place.leave(answered=False)
    assert (lane.slow, bench.channel.taken, lane.taken) == (0, 0, 0)
