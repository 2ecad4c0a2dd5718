"""Render processes and the exchange with them. A process that dies took one job with it; the next one
gets the rest. One that dies before it says that it is ready took none: no template is to blame."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from backbone.errors import Unavailable
from services.actions.rendering.circuit_breaker import CircuitBreaker, CircuitBreakers
from services.actions.rendering.jobs import CPU_SECONDS, MEMORY_BYTES, WALL_SECONDS, Answer, Failure, Job
from services.actions.rendering.wire_format import (
    FRAME_JOBS,
    HEADER,
    READY,
    decode_answer,
    encode_jobs,
    framed,
)

START_SECONDS = 60.0  # until a process says that it is ready; it imports much, and the machine may be busy
STARTS = 2  # tries to start a process, one after the other
_SAID_CHARS = 500
_COMMAND = (sys.executable, "-m", "services.actions.rendering.process")
_ROOT = Path(__file__).resolve().parents[3]
_RECYCLED_AFTER = 200_000  # jobs; memory that Python's allocator keeps is freed with the process
# It gave up its memory after the job before, or somebody killed it. Any other end is the job's: its processor time ran
# out, or the C code it called broke down.
_NOT_ITS_FAULT = (0, -signal.SIGKILL, -signal.SIGTERM)


class RenderProcessGone(Exception):
    """The process ended before it answered; `starved` if that need not be the job's fault."""

    def __init__(self, *, starved: bool) -> None:
        super().__init__("the rendering process ended")
        self.starved = starved


class RenderProcessNotStarted(Exception):
    """The process ended, or came to nothing, before it was ready; the message has what it said."""


class RendererUnavailable(Unavailable):
    """No render process can be started now. Nothing was rendered, and no template is to blame: try again later."""

    code = "renderer_unavailable"
    title = "Templates cannot be rendered now"
    retry_after = 10


class RenderProcess:
    """One process. Not thread-safe: it belongs to whoever took it from the pool."""

    def __init__(self, niceness: int = 0) -> None:
        try:
            self._process = subprocess.Popen(
                [*_COMMAND, str(niceness)],
                cwd=_ROOT,
                env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,  # until it is ready
                start_new_session=True,  # the service handles an interrupt at the terminal
            )
        except OSError as error:  # no memory, or too many processes
            raise RenderProcessNotStarted(str(error)) from error
        self.jobs = 0
        self._ready = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stream(self._process.stdout), selectors.EVENT_READ)
        self._buffer = bytearray()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def answers(self, jobs: Sequence[Job], fuses: Mapping[str, CircuitBreaker]) -> Iterator[Answer]:
        """An answer to each of the first jobs, as many as go into one frame, in order.

        Raises `RenderProcessGone` in place of the one that ended the process, and `RenderProcessNotStarted`.
        """
        self._await_start()
        content, count = encode_jobs(jobs, fuses)
        self.jobs += count
        stdin = self._stream(self._process.stdin)
        try:
            stdin.write(framed(content))
            stdin.flush()
        except OSError as error:
            raise RenderProcessGone(starved=True) from error
        for _ in range(count):
            yield self._answer(time.monotonic() + WALL_SECONDS)

    def _await_start(self) -> None:
        if self._ready:
            return
        try:
            self._ready = self._frame(time.monotonic() + START_SECONDS) == READY
        except RenderProcessGone as gone:
            raise RenderProcessNotStarted(self._last_words()) from gone
        self._stream(self._process.stderr).close()

    def _last_words(self) -> str:
        """The last line of what the process said, and how it ended."""
        ended = self._process.poll()
        self._process.kill()
        said = self._stream(self._process.stderr).read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
        how = f"it was not ready after {START_SECONDS:g} s" if ended is None else f"it ended with {ended}"
        return f"{last[:_SAID_CHARS]} ({how})"

    def _answer(self, deadline: float) -> Answer:
        return decode_answer(self._frame(deadline))

    def _frame(self, deadline: float) -> bytes:
        buffer = self._buffer
        while len(buffer) < HEADER or len(buffer) < HEADER + int.from_bytes(buffer[:HEADER], "big"):
            self._read(deadline)
        end = HEADER + int.from_bytes(buffer[:HEADER], "big")
        frame = bytes(buffer[HEADER:end])
        del buffer[:end]
        return frame

    def _read(self, deadline: float) -> None:
        if not self._selector.select(max(0.0, deadline - time.monotonic())):
            raise RenderProcessGone(starved=True)
        chunk = os.read(self._stream(self._process.stdout).fileno(), 1 << 20)
        if not chunk:
            raise RenderProcessGone(starved=self._process.wait(WALL_SECONDS) in _NOT_ITS_FAULT)
        self._buffer += chunk

    def close(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            try:
                self._stream(stream).close()
            except OSError:  # what was still in the buffer finds no reader
                continue

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        if stream is None:
            raise RenderProcessGone(starved=True)
        return stream


_TOO_LONG = Failure(
    "template_limits",
    f"needs more than {CPU_SECONDS} s of processor time or {MEMORY_BYTES >> 20} MiB",
    spent=True,
)


def run(
    jobs: Sequence[Job],
    worker: RenderProcess | None,
    spawn: Callable[[], RenderProcess],
    fuses: CircuitBreakers,
) -> tuple[list[Answer], RenderProcess | None]:
    """All answers, over as many processes as it takes, and the process that is left.

    A job that ended a process is answered `template_limits`. One at which the wall time ran out, or whose
    process was killed from outside, is tried once more: the machine may have been busy with something else. Raises
    `RendererUnavailable` if no process starts.
    """
    done: list[Answer] = []
    second_try = -1
    failed_starts = 0
    while len(done) < len(jobs):
        known = fuses.known(time.monotonic())
        try:
            if worker is None or worker.jobs > _RECYCLED_AFTER:
                worker = _replaced(worker, spawn)
            for answer in worker.answers(jobs[len(done) : len(done) + FRAME_JOBS], known):
                _note(fuses, jobs[len(done)], answer)
                done.append(answer)
        except RenderProcessNotStarted as error:
            worker = _none_of(worker)
            failed_starts += 1
            if failed_starts >= STARTS:
                raise RendererUnavailable(f"no render process starts: {error}") from error
        except RenderProcessGone as gone:
            worker = _none_of(worker)
            if gone.starved and second_try != len(done):
                second_try = len(done)
            else:
                _note(fuses, jobs[len(done)], _TOO_LONG)
                done.append(_TOO_LONG)
    return done, worker


def _note(fuses: CircuitBreakers, job: Job, answer: Answer) -> None:
    failure = answer if isinstance(answer, Failure) else None
    if failure is None or failure.tried:
        fuses.ended(job, time.monotonic(), within_limits=failure is None or not failure.spent)


def _replaced(worker: RenderProcess | None, spawn: Callable[[], RenderProcess]) -> RenderProcess:
    return _none_of(worker) or spawn()


def _none_of(worker: RenderProcess | None) -> RenderProcess | None:
    """Ends the process, if there is one; None takes its place."""
    if worker is not None:
        worker.close()
    return None
