"""Failpoints: the place is the place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from backbone.failpoint import STATUS

POINT = "rules.before_commit"
RAN_ON = 3
PASSING = f"""
import os, threading
from backbone.failpoint import hit

def work():
    hit("{POINT}")
    hit("{POINT}")
    os._exit({RAN_ON})

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def _passing(failpoint: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PASSING], env={**os.environ, "TOUCHLINE_FAILPOINT": failpoint}
    )


@pytest.mark.parametrize(
    ("failpoint", "status"), [("", RAN_ON), (f"{POINT}:3", RAN_ON), (f"{POINT}:2", STATUS)]
)
def test_dies_at_its_place_only(failpoint: str, status: int) -> None:
    """The second passage ends it, a third there is not."""
    with _passing(failpoint) as process:
        assert process.wait(30) == status


def test_a_thread_stops_at_its_place() -> None:
    """It goes no step further, whatever the other threads do. Some tries: it is a race that would be lost."""
    for _ in range(12):
        with _passing(f"{POINT}:2:stop") as process:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            process.returncode = None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
            process.kill()
        assert os.WIFSTOPPED(status)
        assert os.WSTOPSIG(status) == signal.SIGSTOP
