"""Runs the jobs of one kind: a thread of the service that starts one process at a time and stores what it says."""

import os
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from backbone.errors import DatabaseUnavailable
from backbone.jobs.given import packed
from backbone.jobs.limits import BEAT_S, IDLE_S, LEASE_S, LEFT, LOOK_S, NICENESS, TRIES
from backbone.jobs.queue import Job, JobQueue
from backbone.jobs.wire import Done, Failed, Frames, Message, Part, Progress
from backbone.ownership import Fenced
from backbone.settings import Settings
from backbone.telemetry import get_logger

_ROOT = Path(__file__).resolve().parents[2]
READ_BYTES = 1 << 20
LEAVE_S = 5.0

log = get_logger("touchline.jobs")


class JobRunner:
    """Carries out the jobs of `queue`, one at a time, each in a process that runs `module`."""

    def __init__(self, queue: JobQueue, settings: Settings, module: str) -> None:
        self._queue, self._module = queue, module
        self._settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
        self._name = secrets.token_hex(8)
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{queue.kind}s", daemon=True)

    def start(self) -> None:
        """Begin to look for jobs."""
        self._thread.start()

    def stop(self) -> None:
        """End the running process, whose job then waits again, and the thread."""
        self._stopping.set()
        self._woken.set()
        self._thread.join(LEAVE_S)

    def wake(self) -> None:
        """Look for a job at once."""
        self._woken.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                job = self._queue.claim(self._name)
                if job is not None:
                    self._carry_out(job)
                    continue
            except (DatabaseUnavailable, Fenced):
                pass
            except Exception:
                log.exception("job.runner_failed", kind=self._queue.kind)
            self._woken.wait(IDLE_S)

    def _carry_out(self, job: Job) -> None:
        log.info("job.begun", kind=self._queue.kind, job=job.id, epoch=job.epoch)
        process = JobProcess(self._module, self._settings, job)
        try:
            ended = self._follow(job, process)
        except Fenced:
            ended = "cancelled"
        finally:
            process.kill()
        if ended == "stopped":
            self._queue.put_back(job)
        elif ended == "cancelled":
            self._queue.release(job)
        log.info("job.ended", kind=self._queue.kind, job=job.id, how=ended)

    def _follow(self, job: Job, process: "JobProcess") -> str:
        """Store what the process says until it ends; returns how that was. Raises `Fenced` where it was cancelled."""
        progress, numbers = 0.0, Counter[str]()
        beat_at = look_at = time.monotonic()
        while True:
            if self._stopping.is_set():
                return "stopped"
            for message in process.messages(LOOK_S):
                match message:
                    case Progress():
                        progress = max(0.0, min(1.0, message.share))
                    case Part():
                        self._store(job, message, numbers)
                    case Done() | Failed():
                        return self._end(job, message)
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + BEAT_S
                process.beat()
                with suppress(DatabaseUnavailable):
                    self._queue.beat(job, progress)
            elif now >= look_at:
                look_at = now + LOOK_S
                with suppress(DatabaseUnavailable):
                    if not self._queue.wanted(job):
                        return "cancelled"
            if process.ended:
                if process.left and job.epoch < TRIES:  # we were too busy to beat: it starts again
                    return "stopped"
                return self._end(job, Failed(process.last_words()))

    def _store(self, job: Job, part: Part, numbers: "Counter[str]") -> None:
        self._insist(
            lambda: self._queue.add_part(job, part.series, numbers[part.series], part.count, part.body)
        )
        numbers[part.series] += 1

    def _end(self, job: Job, said: Done | Failed) -> str:
        if isinstance(said, Done):
            self._insist(lambda: self._queue.finish(job, said.body))
            return "done"
        self._insist(lambda: self._queue.fail(job, said.message))
        return "failed"

    def _insist(self, write: Callable[[], None]) -> None:
        """Write, however long the database is away."""
        while True:
            try:
                return write()
            except DatabaseUnavailable:
                if self._stopping.wait(LOOK_S):
                    raise


class JobProcess:
    """The process of one job. Not thread-safe."""

    def __init__(self, module: str, settings: Settings, job: Job) -> None:
        folder = str(settings.data_dir)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(NICENESS)],
            env={
                "PYTHONPATH": str(_ROOT),
                "PYTHONUTF8": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": folder,
                "SQLITE_TMPDIR": folder,
                "MALLOC_ARENA_MAX": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            start_new_session=True,  # the service handles an interrupt at the terminal
        )
        self._in = cast("IO[bytes]", self._process.stdin)
        self._out = cast("IO[bytes]", self._process.stdout)
        self._frames = Frames()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self.ended = False
        first = packed(settings, job.body)
        self._send(len(first).to_bytes(8, "big") + first)

    def _send(self, data: bytes) -> None:
        with suppress(BrokenPipeError):  # it has ended, which `messages` finds out
            self._in.write(data)
            self._in.flush()

    def beat(self) -> None:
        """Tell the process that we are there."""
        self._send(b".")

    def messages(self, wait: float) -> list[Message]:
        """What the process has said, waiting at most so many seconds for it."""
        if not self._selector.select(wait):
            return []
        data = os.read(self._out.fileno(), READ_BYTES)
        if not data:
            self.ended = True
            return []
        return self._frames.feed(data)

    @property
    def left(self) -> bool:
        """Whether the process, which has ended, heard nothing of us for too long."""
        return self._process.wait() == LEFT

    def last_words(self) -> str:
        """Why the process has ended without a result."""
        code = self._process.wait()
        if code == LEFT:
            return f"its worker was too busy to follow it: silent for {LEASE_S:g} s, {TRIES} times"
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended by itself with status {code}"

    def kill(self) -> None:
        """End the process, whatever it does, and let go of it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        with suppress(BrokenPipeError):
            self._in.close()
        self._out.close()
