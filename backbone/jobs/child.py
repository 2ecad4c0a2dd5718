"""The process of a long job: what every such process does before and around its work.

It reads the settings and the job's body from its standard input, confines itself, and says on its standard output
how far it is. It ends where its worker is gone or has been silent for `LEASE_S`.
"""

import logging
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from backbone.jobs.given import unpacked
from backbone.jobs.limits import LEASE_S, LEFT, MEMORY_BYTES, JobFailed
from backbone.jobs.scratch import is_full, too_much
from backbone.jobs.wire import Done, Failed, Message, Part, Progress, framed

if TYPE_CHECKING:
    from backbone.settings import Settings

TELL_S = 0.2  # how often progress is told at most
_encode = msgspec.json.Encoder().encode
Main = Callable[["Settings", bytes, "Report"], object]


class Report:
    """Tells the worker how far the job is."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._told = 0.0

    def progress(self, share: float) -> None:
        """How much is done, 0 to 1; may be called often."""
        now = time.monotonic()
        if now >= self._told + TELL_S:
            self._told = now
            self.send(Progress(share))

    def part(self, series: str, count: int, body: bytes) -> None:
        """The next `count` items of a series; see `JobQueue.parts`."""
        self.send(Part(series, count, body))

    def send(self, message: Message) -> None:
        """Write one frame."""
        self._sink.write(framed(message))
        self._sink.flush()


def run(main: Main) -> None:
    """Carry out the job: `main(settings, body, report)` returns its result, a JSON object.

    A `JobFailed` is told as it is; too little memory and any other error end the job as failed too.
    """
    report = _connected()
    settings, body = _given(sys.stdin.buffer)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[_LateLogging(settings)])
    threading.Thread(target=_watch, name="worker-watch", daemon=True).start()
    report.send(_outcome(main, settings, body, report))
    os._exit(0)  # nothing is left to write


def _connected() -> Report:
    """Standard output as the way to the worker; whatever else is printed goes to standard error."""
    confine()
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return Report(sink)


def confine() -> None:
    """Run after everybody else, within the memory that a job may have."""
    os.nice(int(sys.argv[1]))
    for limit, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # not every system lets itself be limited
            resource.setrlimit(limit, (most, most))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _given(source: BinaryIO) -> "tuple[Settings, bytes]":
    size = int.from_bytes(source.read(8), "big")
    return unpacked(source.read(size))


class _LateLogging(logging.Handler):
    """Sets up logging when there is something to log. Most jobs have nothing to, and it takes a while to import."""

    def __init__(self, settings: "Settings") -> None:
        super().__init__()
        self._settings = settings

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        from backbone.telemetry import configure_logging

        configure_logging(self._settings.log_level, self._settings.log_format)
        logging.getLogger().handle(record)


def _outcome(main: Main, settings: "Settings", body: bytes, report: Report) -> Message:
    from backbone.redaction import words

    try:
        return Done(_encode(main(settings, body, report)))
    except JobFailed as error:
        return Failed(str(error))
    except MemoryError:
        return Failed(f"it needs more than {MEMORY_BYTES >> 20:,} MiB of memory")
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for an answer
        if is_full(error):
            return Failed(too_much(settings.job_disk << 20))
        from backbone.telemetry import get_logger

        get_logger("touchline.jobs").exception("job.failed")
        return Failed(f"it failed: {words(error)}")


def _watch() -> None:
    """End this process with its worker, and where it no longer beats: another one may have the job by then."""
    while True:
        ready: Sequence[Any] = select.select([0], [], [], LEASE_S)[0]
        if not ready or not os.read(0, 4_096):
            os._exit(LEFT)
