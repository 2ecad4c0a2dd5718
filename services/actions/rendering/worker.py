"""The process in which templates run: `python -m services.actions.rendering.worker`, frames on its standard
streams.

In: frames of jobs. Out: one frame per job, in order (see `wire`). It knows nothing worth
stealing: no environment, no open files, no key. It bounds itself: memory by RLIMIT_AS, processor time of
one job by a timer whose signal ends the process, whatever C code it is in. Whoever reads its answers sees
the end of the stream and knows which job it was. It ends when its input does.
"""

import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from services.actions.rendering import compose
from services.actions.rendering.model import CPU_SECONDS, MEMORY_BYTES, Failure, MailJob
from services.actions.rendering.wire import HEADER, decode_jobs, encode_answer, framed

_PAGE = resource.getpagesize()


def main() -> None:
    """Answers frames until the input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _warm_up()
    _confine()
    while (frame := _frame(source)) is not None:
        for job in decode_jobs(frame):
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            try:
                payload = encode_answer(compose.answer(job))
            except MemoryError:
                payload = encode_answer(
                    Failure("template_limits", f"needs more than {MEMORY_BYTES >> 20} MiB")
                )
                _send(sink, payload)
                return  # what the allocator holds on to is given back with the process
            signal.setitimer(signal.ITIMER_PROF, 0)
            _send(sink, payload)


def _send(sink: BinaryIO, payload: bytes) -> None:
    sink.write(framed(payload))
    sink.flush()


def _frame(source: BinaryIO) -> bytes | None:
    header = source.read(HEADER)
    return source.read(int.from_bytes(header, "big")) if len(header) == HEADER else None


def _warm_up() -> None:
    """All is imported and run once before memory is measured, and while files can still be opened."""
    scope = {"account": {"name": "a", "id": "a"}, "contact": {"email": "a@a.test"}, "unsubscribe_url": "u"}
    # A literal needs a codec, pprint a module, and the last two fail, which imports as well.
    for source in ("{{ 'ü\\n' | pprint }} {{ account.name | e }}", "{{ now }}", "{{ }}"):
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
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
