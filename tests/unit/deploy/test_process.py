"""Children are waited for, stopped in order, killed at the deadline, and do not outlive us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.process import Child, LocalError, wait_until

WAITS = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


def python(tmp_path: Path, code: str) -> Child:
    return Child("a program", [sys.executable, "-c", code], tmp_path / "log")


def up(child: Child) -> Child:
    child.start()
    wait_until("it speaks", lambda: child.log.read_text().count("up"), 30, child)
    return child


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_is_started_once_and_stopped(tmp_path: Path) -> None:
    child = up(python(tmp_path, WAITS))
    pid = child.pid
    child.start()
    assert (child.alive, child.pid) == (True, pid)
    child.stop()
    assert not child.alive
    assert not runs(pid)


def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    child = up(python(tmp_path, STUBBORN))
    child.stop(timeout_s=0.1)
    assert child.returncode == -9


def test_waiting_ends_with_the_childs_log_when_it_dies(tmp_path: Path) -> None:
    child = python(tmp_path, "raise SystemExit('no disk left')")
    child.start()
    with pytest.raises(LocalError, match="ended with 1\nno disk left"):
        wait_until("it starts", lambda: False, 30, child)


def test_waiting_ends_at_the_deadline() -> None:
    with pytest.raises(LocalError, match="it starts: not within 0 s"):
        wait_until("it starts", lambda: False, 0)


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from deploy.local.process import Child, wait_until
child = Child("a program", [sys.executable, "-c", {STUBBORN!r}], Path("log"))
child.start()
wait_until("it speaks", lambda: Path("log").read_text(), 30, child)
print(child.pid, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until("the child ends", lambda: not runs(pid), 30)
