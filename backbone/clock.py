"""The wall clock as a value, so that `now` is handed down and tests set it."""

import threading
import time
from typing import Protocol


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
        """Move on by `us` microseconds and tell the new time."""
        with self._lock:
            self._now += us
            return self._now
