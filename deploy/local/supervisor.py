"""Keeps programs running: restarts those that end, with a growing pause, and stops all of them in order."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from deploy.local.process import LocalError

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0
BEAT_S = 0.1
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Part(Protocol):
    """Something that runs: a service, a broker, a database."""

    @property
    def alive(self) -> bool: ...

    @property
    def pid(self) -> int: ...

    def launch(self) -> None:
        """Start it without waiting until it is ready."""

    def stop(self) -> None: ...


@dataclass
class Watch:
    """One supervised part: when it was last started, and the pause before its next start (seconds)."""

    name: str
    part: Part
    pause_s: float = FIRST_PAUSE_S
    started: float = 0.0
    restart_at: float | None = None

    def beat(self, now: float) -> str | None:
        """Look after the part at `now` (monotonic seconds); returns what happened, if anything."""
        if self.part.alive:
            if self.pause_s > FIRST_PAUSE_S and now - self.started > STEADY_S:
                self.pause_s = FIRST_PAUSE_S
            return None
        if self.restart_at is None:
            self.restart_at = now + self.pause_s
            return f"{self.name} ended; starting it again in {self.pause_s:g} s"
        if now < self.restart_at:
            return None
        self.restart_at = None
        self.pause_s = min(LONGEST_PAUSE_S, self.pause_s * 2)
        self.started = now
        self.part.launch()
        return f"{self.name} started again (pid {self.part.pid})"


def supervise(watches: Sequence[Watch], say: Callable[[str], None], changed: Callable[[], None]) -> NoReturn:
    """Until interrupted, restart what ends; `changed` is called after every restart (pids are new)."""
    while True:
        for watch in watches:
            before = watch.part.pid
            try:
                news = watch.beat(time.monotonic())
            except (OSError, LocalError) as error:
                news = f"{watch.name} could not be started: {error}"
            if news is not None:
                say(news)
            if watch.part.pid != before:
                changed()
        time.sleep(BEAT_S)


def stop_all(watches: Sequence[Watch], say: Callable[[str], None]) -> None:
    """Stop every part, the last first; one that fails to stop does not keep the others from it."""
    for watch in reversed(watches):
        say(f"stopping {watch.name}")
        try:
            watch.part.stop()
        except (OSError, LocalError) as error:
            say(f"{watch.name}: {error}")


def interrupt_on_signals() -> None:
    """SIGTERM and SIGHUP interrupt as Ctrl-C does: wherever we are, KeyboardInterrupt is raised.

    A flag that the loop looks at would not end a start that waits for Kafka. Only the first signal counts:
    `make` and the terminal may both send one, and the second must not cut the stopping short.
    """

    def interrupt(*_: object) -> None:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in STOPPING:
        signal.signal(number, interrupt)
