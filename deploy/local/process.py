"""Child processes that are waited for by polling, stopped in order, and never outlive us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.05


class LocalError(Exception):
    """A local server could not be had; the message says why, with the end of its log."""


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log file; empty if there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def wait_until(what: str, check: Callable[[], T | None], timeout_s: float, child: Child | None = None) -> T:
    """Poll `check` until it gives something true, and return that.

    Raises LocalError at the deadline, or as soon as `child` has died.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = check()
        if found:
            return found
        if child is not None and not child.alive:
            raise LocalError(f"{what}: {child.name} ended with {child.returncode}\n{tail(child.log)}")
        if time.monotonic() > deadline:
            raise LocalError(f"{what}: not within {timeout_s:g} s\n{tail(child.log) if child else ''}")
        time.sleep(POLL_S)


class _Reaper:
    """A helper process that kills our children should we die without stopping them.

    Linux' own parent-death signal follows the *thread* that forked, which breaks restarts from test threads.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def watch(self, pid: int) -> None:
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("reaper.py"))],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            self._owner = os.getpid()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()


_reaper = _Reaper()


@dataclass
class Child:
    """One long-running program: its command, log file and, while it runs, its process.

    `user` (a name) is whom to run as, when we are root. The child has a session of its own, so that
    Ctrl-C in a terminal reaches only us and children are stopped in order.
    """

    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] | None = None
    user: str | None = None
    cwd: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def returncode(self) -> int | None:
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the program; its output is appended to the log."""
        if self.alive:
            return
        if self._process is not None:
            _reaper.forget(self._process.pid)
        self._process = self.launch()
        _reaper.watch(self._process.pid)

    def launch(self) -> subprocess.Popen[bytes]:
        """A new process of the command, in a session of its own."""
        with self.log.open("ab") as out:
            return subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=None if self.env is None else dict(self.env),
                cwd=self.cwd,
                user=self.user,
                group=None if self.user is None else _group_of(self.user),
                extra_groups=None if self.user is None else [],
                start_new_session=True,
            )

    def stop(self, timeout_s: float = 20.0, first: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, wait, and kill it at the deadline. Does nothing if it does not run."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(first)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        _reaper.forget(self._process.pid)

    def kill(self) -> None:
        """kill -9, with everything in its session's process group, and wait for it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        _reaper.forget(self._process.pid)


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid
