"""Service processes forked from one that has imported everything, so that a start costs a tenth of its time.

Hundreds of restarts then spend their time under load instead of in imports. A forked process is like any other: it has
a session, an environment and a log of its own, and runs `touchline serve`. `tests/e2e/test_stack.py` starts the
command itself.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from deploy.local.process import POLL_S, Child

# The modules that `touchline serve` imports later; they are imported before the fork.
IMPORTS = (
    "services.cli.main", "services.app", "services.ingest.service", "services.rules.service",
    "services.actions.service", "services.ingest.tables", "services.rules.tables", "services.actions.tables",
    "backbone.tables", "backbone.log.kafka.log", "psycopg", "uvloop", "uvicorn.protocols.http.httptools_impl",
    "uvicorn.lifespan.on", "uvicorn.loops.uvloop", "encodings.idna", "sqlalchemy.dialects.postgresql.psycopg",
    "pydantic.v1",
)  # fmt: skip
READY_S = 120.0


class Nursery:
    """The process that forks. It takes one question at a time: start a process, or whether one has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.nursery", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        ours.settimeout(READY_S)
        self._socket = ours
        self._lines = ours.makefile("rwb")

    @property
    def alive(self) -> bool:
        """Whether it can answer questions."""
        return self._process.poll() is None

    def ask(self, **question: Any) -> Any:
        """Its answer to a question."""
        with self._lock:
            self._lines.write(json.dumps(question).encode() + b"\n")
            self._lines.flush()
            answer = self._lines.readline()
        assert answer, "the nursery has ended"
        return json.loads(answer)


_nursery: Nursery | None = None
_making = threading.Lock()


def nursery() -> Nursery:
    """The nursery of this process, which ends with it."""
    global _nursery
    with _making:
        if _nursery is None or not _nursery.alive:
            _nursery = Nursery()
        return _nursery


class Forked:
    """A forked process, with the part of Popen that `Child` uses."""

    def __init__(self, under: Nursery, pid: int) -> None:
        self._under, self.pid = under, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._under.ask(ended=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("touchline serve", timeout or 0)
            time.sleep(POLL_S / 5)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal if the process still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Service(Child):
    """`touchline serve <command>` from the nursery; otherwise like any other child."""

    def launch(self) -> Any:
        """A started process."""
        under = nursery()
        pid = under.ask(start=list(self.command), env=dict(self.env or {}), log=str(self.log))
        return Forked(under, pid)


# -- in the nursery's process


def _main(descriptor: int) -> None:
    for name in IMPORTS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # pages that are not written to stay shared
    with socket.socket(fileno=descriptor) as line, line.makefile("rwb") as lines:
        for question in lines:
            asked = json.loads(question)
            answer = _ended(asked["ended"]) if "ended" in asked else _start(asked, descriptor)
            lines.write(json.dumps(answer).encode() + b"\n")
            lines.flush()


def _ended(pid: int) -> int | None:
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return -signal.SIGKILL  # asked twice
    return os.waitstatus_to_exitcode(status) if found else None


def _start(asked: dict[str, Any], descriptor: int) -> int:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        os.read(reading, 1)  # by now it has a session of its own, and can be killed with all its children
        os.close(reading)
        return pid
    try:
        os.setsid()
        os.close(reading)
        os.close(writing)
        os.close(descriptor)
        _grow_up(asked)
    finally:
        os._exit(70)  # _grow_up does not return


def _grow_up(asked: dict[str, Any]) -> None:
    """Set up the forked process as exec would have done."""
    with open(asked["log"], "ab") as log:  # noqa: PTH123  nothing between the fork and the service
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.clear()
    os.environ.update(asked["env"])
    importlib.reload(importlib.import_module("backbone.failpoint"))  # read from the environment on import
    sys.argv = ["touchline", *asked["start"]]
    status = 0
    try:
        importlib.import_module("services.cli.main").main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
