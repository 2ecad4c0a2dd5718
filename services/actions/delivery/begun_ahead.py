"""Attempts that began with their lease and wait for a place at their endpoint, so that no place waits for a commit.

They are sent soon or not at all: one that is older than `FRESH_US` is given back, and another attempt follows when it
may. Its attempt counts as never begun. So whoever says that nothing more may be sent (a pause, the sending switch) can
wait until they are gone.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

from backbone.clock import Clock, counted
from backbone.database import Database
from services.actions.delivery.attempt_writer import BatchResult
from services.actions.plays.model import Leased
from services.actions.storage import holds

FRESH_US = 500_000  # from before the commit in which they began
SECOND_US = 1_000_000
SETTLE_S = 1.0  # longer than that, so that what is given back has been
LOOK_S = 0.02


class Begun(NamedTuple):
    """An attempt that has begun: its number, and when the action's first one began (microseconds)."""

    n: int
    at: int

    @classmethod
    def of(cls, action: Leased, n: int, at: int) -> "Begun":
        """Attempt `n`, which began at `at`."""
        return cls(n, at if action.begun_at is None else action.begun_at)


class BegunAhead:
    """The attempts that have begun and wait for a place. Belongs to one event loop. `tasks`: those that deliver."""

    def __init__(self, tasks: Mapping[str, asyncio.Task[None]]) -> None:
        self._tasks = tasks
        self._waiting: dict[str, tuple[Begun, int]] = {}

    def add(self, written: BatchResult) -> None:
        """Add those that began with their lease."""
        added = [one for one in written.leased if one.id in written.begun and one.id in self._tasks]
        for one in added:
            self._waiting[one.id] = Begun.of(one, written.begun[one.id], written.at), written.fresh_until
        if added:
            left_s = (written.fresh_until - counted()) / SECOND_US
            ids = [one.id for one in added]
            asyncio.get_running_loop().call_later(max(0.0, left_s), self._expire, ids, written.fresh_until)

    def waits(self, action: str) -> bool:
        """Whether an attempt at this action has begun and waits."""
        return action in self._waiting

    def take(self, action: str) -> Begun | None:
        """The attempt, which is about to be sent; None: too late."""
        begun, fresh_until = self._waiting[action]
        if counted() > fresh_until:
            return None
        del self._waiting[action]
        return begun

    def left(self, action: str) -> bool:
        """Forget an action; returns whether an attempt at it has begun and was not sent."""
        return self._waiting.pop(action, None) is not None

    def _expire(self, actions: list[str], fresh_until: int) -> None:
        for one in actions:
            if one in self._waiting and self._waiting[one][1] <= fresh_until:  # it may have begun anew since
                self._tasks[one].cancel()


def settle(db: Database, clock: Clock, playbook: str) -> None:
    """Wait until no webhook of a playbook that is paused waits for its place, begun before the pause. Blocking.

    What is on the wire cannot be told from what waits, so this may take all of `SETTLE_S`; then nothing waits.
    """
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        with db.read() as conn:
            if not holds.begun(conn, playbook, clock.now()):
                return
        time.sleep(LOOK_S)
