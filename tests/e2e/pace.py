"""Keeps load and faults in step: a fault comes when its share of the events is acknowledged, and the load waits for it.

So the faults are spread over the whole load, however fast the machine is, and a seed names the same moments again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

AHEAD = 1.5  # by how many faults of a lane the load may be ahead


class Pace:
    """Every lane of faults strikes `times` times over `events` events. Once the pace has ended, nobody waits."""

    def __init__(self, events: int, lanes: Sequence[str], times: int) -> None:
        self._events, self._times = events, times
        self._struck = dict.fromkeys(lanes, 0)
        self._posted = 0
        self._over = False
        self._moved = threading.Condition()

    def posted(self, count: int) -> None:
        """Count `count` more acknowledged events, and return when more may be posted."""
        with self._moved:
            self._posted += count
            self._moved.notify_all()
            self._moved.wait_for(self._may_post)

    def due(self, lane: str) -> None:
        """Return when the next fault of this lane is due.

        No lane is a fault ahead of another: it would wait for load that waits for the other lane.
        """
        with self._moved:
            self._moved.wait_for(lambda: self._over or self._is_due(lane))

    def struck(self, lane: str) -> None:
        """Note that the lane's fault has happened."""
        with self._moved:
            self._struck[lane] += 1
            self._moved.notify_all()

    def end(self) -> None:
        """From now on let nobody wait."""
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
