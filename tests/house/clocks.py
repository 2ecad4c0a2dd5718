"""The functions that read the clock, and the places that use them."""

from __future__ import annotations

import ast

from tests.house.imports import full_names

# the clocks that tell the time of day
TIME_OF_DAY = frozenset({
    "time.time", "time.time_ns", "time.gmtime", "time.localtime", "time.ctime", "time.asctime", "time.strftime",
    "time.clock_gettime", "time.clock_gettime_ns",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "pendulum.now", "email.utils.localtime", "email.utils.formatdate", "email.utils.make_msgid",
    "uuid.uuid1", "uuid.uuid6", "uuid.uuid7",
    "sqlalchemy.func.now", "sqlalchemy.func.current_timestamp",
})  # fmt: skip
ANY_CLOCK = TIME_OF_DAY | {
    "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns", "time.process_time",
    "time.process_time_ns", "time.thread_time", "time.thread_time_ns", "time.sleep",
}  # fmt: skip


def reads(tree: ast.Module, clocks: frozenset[str] = TIME_OF_DAY) -> list[tuple[int, str]]:
    """The line and full name of every use of one of these clocks, called or passed on, under any alias.

    `datetime.now` counts wherever `datetime` was imported from, even from a file of ours.
    """
    tails = {_tail(name) for name in clocks}
    return [(node.lineno, name) for node, name in full_names(tree) if name in clocks or _tail(name) in tails]


def _tail(name: str) -> str:
    return ".".join(name.split(".")[-2:])
