"""Render processes and the exchange with them. A process that dies took one job with it; the next one
gets the rest."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from services.actions.rendering.circuit_breaker import CircuitBreaker, CircuitBreakers
from services.actions.rendering.jobs import CPU_SECONDS, MEMORY_BYTES, WALL_SECONDS, Answer, Failure, Job
from services.actions.rendering.wire_format import FRAME_JOBS, HEADER, decode_answer, encode_jobs, framed

_ROOT = Path(__file__).resolve().parents[3]
_RECYCLED_AFTER = 200_000  # jobs; memory that Python's allocator keeps is freed with the process
# It gave up its memory after the job before, or somebody killed it. Any other end is the job's: its
# processor time ran
# out, or the C code it called broke down.
_NOT_ITS_FAULT = (0, -signal.SIGKILL, -signal.SIGTERM)


class RenderProcessGone(Exception):
    """The process ended before it answered; `starved` if that need not be the job's fault."""

    def __init__(self, *, starved: bool) -> None:
        super().__init__("the rendering process ended")
        self.starved = starved


class RenderProcess:
    """One process. Not thread-safe: it belongs to whoever took it from the pool."""

    def __init__(self, niceness: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.actions.rendering.process", str(niceness)],
            cwd=_ROOT,
            env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the service handles an interrupt at the terminal
        )
        self.jobs = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stream(self._process.stdout), selectors.EVENT_READ)
        self._buffer = bytearray()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def answers(self, jobs: Sequence[Job], fuses: Mapping[str, CircuitBreaker]) -> Iterator[Answer]:
        """An answer to each of the first jobs, as many as go into one frame, in order.

        Raises `RenderProcessGone` in place of the one that ended the process.
        """
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

    def _answer(self, deadline: float) -> Answer:
        buffer = self._buffer
        while len(buffer) < HEADER or len(buffer) < HEADER + int.from_bytes(buffer[:HEADER], "big"):
            self._read(deadline)
        end = HEADER + int.from_bytes(buffer[:HEADER], "big")
        answer = decode_answer(buffer[HEADER:end])
        del buffer[:end]
        return answer

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
        for stream in (self._process.stdin, self._process.stdout):
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
    process was killed from outside, is tried once more: the machine may have been busy with something else.
    """
    done: list[Answer] = []
    second_try = -1
    while len(done) < len(jobs):
        if worker is None or worker.jobs > _RECYCLED_AFTER:
            worker = _replaced(worker, spawn)
        known = fuses.known(time.monotonic())
        try:
            for answer in worker.answers(jobs[len(done) : len(done) + FRAME_JOBS], known):
                _note(fuses, jobs[len(done)], answer)
                done.append(answer)
        except RenderProcessGone as gone:
            worker.close()
            worker = None
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
    if worker is not None:
        worker.close()
    return spawn()
