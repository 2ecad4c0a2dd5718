"""The wall clock as a value, so that `now` is handed down and tests set it."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from backbone.telemetry import CLOCK_JUMPED, CLOCK_JUMPS, get_logger

JUMP_US = 86_400_000_000  # a larger change of the machine's clock is a jump
# counts time that the machine sleeps, too; elsewhere than on Linux CLOCK_MONOTONIC does
_COUNTED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

log = get_logger("touchline.clock")


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...


class WallClock:
    """The machine's clock."""

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1_000


def counted() -> int:
    """Microseconds by a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime_ns(_COUNTED) // 1_000


class Jump(NamedTuple):
    """A jump that is not followed: the machine's clock is `by` microseconds ahead of ours (negative:
    behind), since `since`."""

    by: int
    since: int


class SteadyClock:
    """The machine's clock, except for jumps of more than a day that the time that passed does not explain.

    After such a jump it goes on from its last time, by a clock that nobody sets, until the machine's clock is
    right again (within a day). With `follow` it follows jumps as well. Either way it logs them. Safe to use
    from several threads.
    """

    def __init__(
        self,
        *,
        follow: bool = False,
        wall: Callable[[], int] = WallClock().now,
        passed: Callable[[], int] = counted,
    ) -> None:
        self._follow, self._wall, self._passed = follow, wall, passed
        self._lock = threading.Lock()
        self._offset = wall() - passed()
        self._since: int | None = None  # when the present jump was noticed

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        with self._lock:
            wall, passed = self._wall(), self._passed()
            ours = passed + self._offset
            if abs(wall - ours) > JUMP_US and not self._follow:
                self._hold(ours, wall - ours)
                return ours
            if abs(wall - ours) > JUMP_US:
                _tell("clock.jump_followed", ours, wall - ours)
            elif self._since is not None:
                log.warning("clock.right_again")
                CLOCK_JUMPED.set(0)
                self._since = None
            self._offset = wall - passed
            return wall

    def jump(self) -> Jump | None:
        """The jump that is not followed now, if there is one."""
        ours = self.now()
        with self._lock:
            if self._since is None:
                return None
            return Jump(self._wall() - self._passed() - self._offset, min(self._since, ours))

    def _hold(self, ours: int, by: int) -> None:
        if self._since is None:
            self._since = ours
            _tell("clock.jump_not_followed", ours, by)
        CLOCK_JUMPED.set(by / 1e6)


def _tell(event: str, ours: int, by: int) -> None:
    CLOCK_JUMPS.inc()
    log.error(event, was=ours // 1_000_000, seconds=by // 1_000_000, setting="TOUCHLINE_CLOCK_JUMPS")


class ManualClock:
    """A clock that moves only when told to; for tests. Safe to use from several threads."""

    def __init__(self, now: int = 0) -> None:
        self._lock = threading.Lock()
        self._now = now

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        with self._lock:
            return self._now

    def set(self, now: int) -> None:
        """Set the time, in microseconds since the epoch."""
        with self._lock:
            self._now = now

    def advance(self, us: int) -> int:
        """Move on by `us` microseconds and return the new time."""
        with self._lock:
            self._now += us
            return self._now
