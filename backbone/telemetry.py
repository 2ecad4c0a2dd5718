"""Logs and metrics: set-up, and the metrics that are no one service's. Its own each service has in its `metrics.py`.

No label carries an account, a contact, an address or a key: label values come from closed sets or from
configuration.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any

import structlog
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from backbone.terminal_text import clean, one_line

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600, 86_400)
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# HTTP, every service
REQUESTS = Counter("touchline_http_requests", "HTTP requests answered", ["route", "method", "status"])
REQUEST_SECONDS = Histogram(
    "touchline_http_request_seconds", "Time to answer a request", ["route"], buckets=QUICK
)
CONNECTIONS_CLOSED = Counter(
    "touchline_http_connections_closed", "Connections that the server closed on its own account", ["why"]
)

# Services that read the log
CLOCK = Gauge(
    "touchline_partition_clock_seconds",
    "A partition's clock, seconds since the epoch",
    ["service", "partition"],
)
CLOCK_JUMPED = Gauge(
    "touchline_clock_jumped_seconds",
    "By how much the machine's clock is ahead of ours, which does not follow it; negative: behind; 0: it is believed",
)
CLOCK_JUMPS = Counter(
    "touchline_clock_jumps", "Jumps of the machine's clock by more than a day, followed or not"
)
BATCH_SECONDS = Histogram(
    "touchline_batch_seconds", "Time of one batch, commit included", ["service"], buckets=QUICK
)
FIELDS_LEFT_OUT = Counter(
    "touchline_fields_left_out",
    "Addresses and timezones that are none, left out of updates: of Segment's calls, or of other programs' records",
    ["where", "field"],
)
LOG_DAMAGED = Counter(
    "touchline_log_damaged", "Stretches of the embedded log that are not what was written, and dead-lettered"
)
DEAD_LETTERED = Counter("touchline_dead_lettered", "Records put to the dead letters", ["service"])

__all__ = ["REGISTRY", "configure_logging", "get_logger"]

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


structlog.configure(  # all goes through the standard library, which stays silent until set up
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)


def _shown(_logger: object, _method: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What others may have written, such as a name, must not steer the terminal."""
    made_safe = {name: one_line(value) if isinstance(value, str) else value for name, value in said.items()}
    return made_safe | ({"exception": clean(said["exception"])} if "exception" in said else {})


def _discreet(_logger: object, _method: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Nothing that errors quote, and no addresses: see `backbone.redaction`."""
    from backbone.redaction import trace, without_addresses, words

    error = _error_in(said.pop("exc_info", None))
    if error is not None:
        said["exception"] = trace(error)
    if said.get("logger") == "asyncio":  # the lines behind the first show objects as they are
        said["event"] = str(said.get("event", "")).partition("\n")[0]
    return {name: _said(value, words, without_addresses) for name, value in said.items()}


def _said(value: Any, words: Callable[[BaseException], str], plain: Callable[[str], str]) -> Any:
    match value:
        case str():
            return plain(value)
        case BaseException():
            return words(value)
        case dict():
            return {str(name): _said(each, words, plain) for name, each in value.items()}
        case list() | tuple() | set():
            return [_said(each, words, plain) for each in value]
        case None | bool() | int() | float():
            return value
    return plain(str(value))


def _outspoken(_logger: object, _method: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Everything, for who looks for a fault and has set the level to debug."""
    error = _error_in(said.pop("exc_info", None))
    if error is not None:
        said["exception"] = "".join(traceback.format_exception(error)).rstrip()
    return said


def _error_in(exc_info: Any) -> BaseException | None:
    """The exception of a log call: itself, as the standard library has it, or (True) the one being handled."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info is True:
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def configure_logging(level: str = "info", format: str = "auto") -> None:
    """Write structured logs to standard error: JSON, one object a line, or in colour on a terminal.

    What nobody caught is logged too, by the same rules.
    """
    pretty = format == "pretty" or (format == "auto" and sys.stderr.isatty())
    tail: list[Any] = [_outspoken if level.lower() == "debug" else _discreet]
    if pretty:
        tail += [_shown, structlog.dev.ConsoleRenderer()]
    else:
        tail.append(structlog.processors.JSONRenderer(default=str))
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("kafka", "httpx", "httpcore", "alembic", "uvicorn", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # warns of every request it cannot parse
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, _place: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        logging.getLogger("touchline").critical("uncaught", exc_info=error or kind())


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; say what happened as a short event name and the rest as keywords.

    `log.info("batch", size=3)`.
    """
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
