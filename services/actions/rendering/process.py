"""The process in which templates run: `python -m services.actions.rendering.process NICENESS`, frames on
its standard streams.

It reads frames of jobs and writes one frame per job, in order (see `wire_format`). It holds nothing worth
stealing: no environment, no open files, no key. It limits itself: its memory by RLIMIT_AS, and the processor
time of a job by a timer whose signal ends the job. A second timer ends the process, whatever C code it is in.
Whoever reads the answers then sees the end of the stream and knows which job it was. The process ends when
its input does. Before the first answer it says that it is ready; until then it may say on standard error why not.
"""

import os
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from services.actions.rendering import compose
from services.actions.rendering.circuit_breaker import CircuitBreakers
from services.actions.rendering.jobs import GRACE_SECONDS, MEMORY_BYTES, Answer, Failure, Job, MailJob
from services.actions.rendering.locales import load_zones, map_locales
from services.actions.rendering.wire_format import HEADER, READY, decode_jobs, encode_answer, framed

_PAGE = resource.getpagesize()
_TOO_MUCH = Failure("template_limits", f"needs more than {MEMORY_BYTES >> 20} MiB", spent=True)
_RESTS = Failure(
    "template_limits",
    "not tried: this template ran into its limit several times in a row; it is tried again within half a minute",
    tried=False,
)


class TooLong(BaseException):
    """Raised wherever the job is when its time is over. No template and no library mistakes it for an error
    of its own."""


def main() -> None:
    """Answers frames until the input ends, or until a job took all the memory."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    os.nice(int(sys.argv[1]))
    _warm_up()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    _confine()
    _send(sink, READY)
    os.dup2(nowhere, sys.stderr.fileno())  # nobody listens any more
    os.close(nowhere)
    while (frame := _frame(source)) is not None:
        jobs, known = decode_jobs(frame)
        fuses = CircuitBreakers(known)
        for job in jobs:
            seconds = fuses.allowance(job, time.monotonic())
            answer, payload = _answered(job, seconds) if seconds else (_RESTS, encode_answer(_RESTS))
            _send(sink, payload)
            if answer is _TOO_MUCH:
                return  # memory that the allocator keeps is freed with the process
            if seconds:
                spent = isinstance(answer, Failure) and answer.spent
                fuses.ended(job, time.monotonic(), within_limits=not spent)


def _answered(job: Job, seconds: float) -> tuple[Answer, bytes]:
    """The answer, plain and encoded, within this many seconds of processor time."""
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, seconds + GRACE_SECONDS)  # its signal ends the process
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
            answer = compose.answer(job)
            payload = encode_answer(answer)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
    except MemoryError:
        answer, payload = _TOO_MUCH, encode_answer(_TOO_MUCH)
    except TooLong:
        answer = Failure("template_limits", f"needs more than {seconds:g} s of processor time", spent=True)
        payload = encode_answer(answer)
    return answer, payload


def _time_is_over(_number: int, _frame: FrameType | None) -> None:
    raise TooLong


def _send(sink: BinaryIO, payload: bytes) -> None:
    sink.write(framed(payload))
    sink.flush()


def _frame(source: BinaryIO) -> bytes | None:
    header = source.read(HEADER)
    return source.read(int.from_bytes(header, "big")) if len(header) == HEADER else None


def _warm_up() -> None:
    """Imports and runs everything once, before memory is measured and while files can still be opened."""
    map_locales()
    load_zones()
    scope = {"account": {"name": "a", "id": "a"}, "contact": {"email": "a@a.test"}, "unsubscribe_url": "u"}
    # A literal needs a codec, pprint a module, and the last two fail, which imports as well.
    for source in (
        "{{ 'ü\\n' | pprint }} {{ account.name | e }}",
        "{{ '2027-03-03T09:00Z' | datetime }}{{ 1.5 | money('USD') }}",
        "{{ now }}",
        "{{ }}",
    ):
        compose.answer(MailJob(subject="s", context=scope, markdown=source))
        compose.answer(MailJob(subject="s", context=scope, html=source))


def _confine() -> None:
    statm = Path("/proc/self/statm")  # elsewhere than on Linux the limit cannot be set above a baseline
    size = int(statm.read_text(encoding="ascii").split()[0]) * _PAGE if statm.exists() else None
    for limit, value in (
        (resource.RLIMIT_AS, resource.RLIM_INFINITY if size is None else size + MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 3),
    ):
        resource.setrlimit(limit, (value, value))
    signal.signal(signal.SIGVTALRM, _time_is_over)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
