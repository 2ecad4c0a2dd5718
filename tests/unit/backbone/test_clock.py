"""The machine's clock is believed but for jumps that the time that passed does not explain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from backbone.clock import JUMP_US, SteadyClock, counted
from backbone.telemetry import CLOCK_JUMPED, CLOCK_JUMPS

DAY = JUMP_US
T0 = 1_790_000_000_000_000


class Machine:
    """What the machine's clocks say."""

    def __init__(self) -> None:
        self.wall, self.passed = T0, 5_000_000

    def sleep(self, us: int) -> None:
        self.wall, self.passed = self.wall + us, self.passed + us

    def clock(self, *, follow: bool = False) -> SteadyClock:
        return SteadyClock(follow=follow, wall=lambda: self.wall, passed=lambda: self.passed)


def events(told: object) -> list[str]:
    assert isinstance(told, list)
    return [one["event"] for one in told]


@pytest.mark.parametrize("by", [40 * DAY, -40 * DAY, DAY + 1, -DAY - 1])
def test_a_jump_is_not_followed_until_the_clock_is_right_again(by: int) -> None:
    machine = Machine()
    clock, before = machine.clock(), CLOCK_JUMPS._value.get()
    with capture_logs() as told:
        machine.wall += by
        assert clock.now() == T0
        machine.sleep(3 * DAY)  # it goes on with the time that passes
        assert clock.now() == T0 + 3 * DAY
        jump = clock.jump()
        assert jump is not None
        assert (jump.by, jump.since) == (by, T0)
        assert CLOCK_JUMPED._value.get() == by / 1e6
        machine.wall -= by
        assert clock.now() == T0 + 3 * DAY
        assert clock.jump() is None
    assert events(told) == ["clock.jump_not_followed", "clock.right_again"]
    assert CLOCK_JUMPED._value.get() == 0
    assert CLOCK_JUMPS._value.get() == before + 1


def test_a_jump_is_followed_where_that_is_set_and_told_all_the_same() -> None:
    machine = Machine()
    clock = machine.clock(follow=True)
    with capture_logs() as told:
        for by in (40 * DAY, -40 * DAY):
            machine.wall += by
            assert clock.now() == machine.wall
            assert clock.jump() is None
    assert events(told) == ["clock.jump_followed"] * 2


@pytest.mark.parametrize("by", [DAY, -DAY, 60_000_000, -1])
def test_what_a_clock_is_put_right_by_is_followed_without_a_word(by: int) -> None:
    machine = Machine()
    clock = machine.clock()
    with capture_logs() as told:
        machine.wall += by
        assert clock.now() == T0 + by
        machine.sleep(90 * DAY)  # a machine that slept: the clock that counts has counted it
        assert clock.now() == T0 + by + 90 * DAY
    assert told == []


@given(st.lists(st.tuples(st.integers(0, 3 * DAY), st.integers(-3 * DAY, 3 * DAY)), max_size=20))
def test_our_time_never_leaps(steps: list[tuple[int, int]]) -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    for slept, jumped in steps:
        machine.sleep(slept)
        machine.wall += jumped
        now = clock.now()
        assert abs(now - before - slept) <= DAY
        assert now == machine.wall or abs(machine.wall - now) > DAY
        before = now


def test_the_clock_that_counts_goes_on() -> None:
    first = counted()
    assert counted() >= first > 0
    assert abs(SteadyClock().now() - SteadyClock().now()) < DAY
