"""Reads `+pid` and `-pid` lines; when its input ends (the parent is gone) it stops the pids left."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

GRACE_S = 10.0


def main() -> None:
    """Runs until standard input ends. SIGINT: PostgreSQL's fast shutdown; ends Java and Python too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pids: set[int] = set()
    for line in sys.stdin:
        (pids.add if line[0] == "+" else pids.discard)(int(line[1:]))
    _send(pids, signal.SIGINT)
    deadline = time.monotonic() + GRACE_S
    while pids and time.monotonic() < deadline:
        pids = {pid for pid in pids if _runs(pid)}
        time.sleep(0.1)
    _send(pids, signal.SIGKILL)


def _send(pids: set[int], what: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, what)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
