"""Load and faults in step: a fault comes when its share of the events is acknowledged, and the load waits for it.

So the faults are spread over all the load however fast the machine is, and a seed names the same moments again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

AHEAD = 1.5  # faults of a lane by which the load may be early


class Pace:
    """`lanes`: who strikes, each `times` times over `events` events. Ended, nobody waits any more."""

    def __init__(self, events: int, lanes: Sequence[str], times: int) -> None:
        self._events, self._times = events, times
        self._struck = dict.fromkeys(lanes, 0)
        self._posted = 0
        self._over = False
        self._moved = threading.Condition()

    def posted(self, count: int) -> None:
        """So many more events are acknowledged; returns when more may be posted."""
        with self._moved:
            self._posted += count
            self._moved.notify_all()
            self._moved.wait_for(self._may_post)

    def due(self, lane: str) -> None:
        """Returns when the next fault of this lane is due: no lane is a fault ahead of another, or it would wait for
        load that waits for that one."""
        with self._moved:
            self._moved.wait_for(lambda: self._over or self._is_due(lane))

    def struck(self, lane: str) -> None:
        """It has happened."""
        with self._moved:
            self._struck[lane] += 1
            self._moved.notify_all()

    def end(self) -> None:
        """From now on nobody waits."""
        with self._moved:
            self._over = True
            self._moved.notify_all()

    def _is_due(self, lane: str) -> bool:
        struck = self._struck[lane]
        return struck == min(self._struck.values()) and self._posted * self._times >= struck * self._events

    def _may_post(self) -> bool:
        least = min(self._struck.values())
        return (
            self._over or least >= self._times or self._posted * self._times <= (least + AHEAD) * self._events
        )
