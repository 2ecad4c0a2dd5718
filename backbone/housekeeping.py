"""Housekeeping: small jobs that nobody waits for, in a thread of their own, so that expired data leaves a
quiet server too."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from backbone.errors import TouchlineError
from backbone.telemetry import get_logger

LOOK_S = 1.0
LEAVE_S = 2.0  # how long a stop waits for a running job

log = get_logger("touchline.upkeep")


@dataclass(frozen=True)
class HousekeepingJob:
    """A job to run at the start and then every so many seconds. It may raise: then it is tried again
    the next time."""

    name: str
    every_s: float
    do: Callable[[], object]


class Housekeeping:
    """Runs the jobs, one after the other."""

    def __init__(self, chores: Sequence[HousekeepingJob]) -> None:
        self._chores = chores
        self._due = [0.0] * len(chores)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the running job."""
        self._stopping.set()
        self._thread.join(LEAVE_S)

    def round(self) -> None:
        """Run the jobs that are due."""
        for place, chore in enumerate(self._chores):
            if time.monotonic() >= self._due[place] and not self._stopping.is_set():
                try:
                    with suppress(TouchlineError):  # the database is away: others say so
                        chore.do()
                except Exception:
                    log.exception("a chore failed", chore=chore.name)
                self._due[place] = time.monotonic() + chore.every_s

    def _run(self) -> None:
        self.round()
        while not self._stopping.wait(LOOK_S):
            self.round()
