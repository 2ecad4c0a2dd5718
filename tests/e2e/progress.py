"""The progress of a long run, in one line: overwritten on a terminal, elsewhere printed anew now and then."""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta

LINE_S, TERMINAL_S = 20.0, 1.0


class Progress:
    """Counts of things done, each out of a total; silent unless `shown`. Safe to use from any thread."""

    def __init__(self, name: str = "", *, shown: bool = False, **totals: float) -> None:
        self._name, self._shown = name, shown
        self._totals = totals
        self._done = dict.fromkeys(totals, 0.0)
        self._began = time.monotonic()
        self._said_at = self._began
        self._lock = threading.Lock()

    def step(self, what: str, by: float = 1) -> None:
        """Count `by` more as done."""
        with self._lock:
            self._done[what] = self._done.get(what, 0) + by
            self._say()

    def done(self, what: str) -> float:
        """How many are done."""
        return self._done.get(what, 0)

    def note(self, text: str) -> None:
        """Print a remark on a line of its own."""
        if self._shown:
            print(f"{_clear()}{self._name}: {text}", flush=True)

    def _say(self) -> None:
        now = time.monotonic()
        if not self._shown or now - self._said_at < (TERMINAL_S if sys.stdout.isatty() else LINE_S):
            return
        self._said_at = now
        gone = now - self._began
        share = min((self._done[what] / total for what, total in self._totals.items() if total), default=0)
        left = f"about {_clock(gone * (1 - share) / share)} left" if share > 0 else "…"
        counts = ", ".join(
            f"{self._done[what]:,.0f}/{total:,.0f} {what}" for what, total in self._totals.items()
        )
        line = f"{self._name}: {_bar(share)} {counts}, {_clock(gone)} gone, {left}"
        print(f"{_clear()}{line}", end="" if sys.stdout.isatty() else "\n", flush=True)


def _bar(share: float, width: int = 20) -> str:
    full = round(width * min(1.0, share))
    return f"[{'#' * full}{'.' * (width - full)}]"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _clear() -> str:
    return "\r\x1b[K" if sys.stdout.isatty() else ""
