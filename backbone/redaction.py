"""Describes errors for logs and answers without quoting data.

The messages of foreign exceptions hold the data they failed at: a row (PostgreSQL's DETAIL), parameters
(SQLAlchemy), a value (pydantic, `KeyError`), an address (mail servers), a cell that is no text (SQLite). So a
foreign exception is described by its type alone, unless its message is known to speak of the machine only.
The traceback says where it happened. With TOUCHLINE_LOG_LEVEL=debug the log has everything.
"""

import re
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from backbone.errors import TouchlineError

ADDRESS = re.compile(r"""[^\s<>"'(),:;\[\]{}\\/=]+@[^\s<>"'(),:;\[\]{}\\/=]+""")
# SQLSTATEs whose message quotes no row.
_ABOUT_A_CONNECTION = ("08", "28", "3D", "53", "57", "58", "25006")
_ABOUT_THE_FILE = (
    "attempt to write",
    "database disk image",
    "database is locked",
    "database or disk is full",
    "database schema",
    "disk I/O error",
    "file is not a database",
    "no such",
    "out of memory",
    "unable to open",
)
_CONSTRAINT = re.compile(r"(UNIQUE|NOT NULL|CHECK|FOREIGN KEY) constraint failed(: [\w., ]+)?")


def without_addresses(text: str) -> str:
    """The text with each mail address replaced by a mark."""
    return ADDRESS.sub("<address>", text) if "@" in text else text


def words(error: BaseException) -> str:
    """The error in a few words that quote nothing."""
    if isinstance(error, TouchlineError):
        return error.message
    orig = getattr(error, "orig", None)
    if isinstance(orig, BaseException) and _is_sqlalchemys(error, "DBAPIError"):
        return words(orig)
    kind = type(error).__name__
    said = _said(error)
    return f"{kind}: {without_addresses(said)}" if said else kind


def _said(error: BaseException) -> str:
    room = type(error).__module__.partition(".")[0]  # by name: not every process has imported them
    if room == "psycopg":
        return _of_postgresql(error)
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    if room == "kafka" or isinstance(error, OSError | ImportError) or _is_sqlalchemys(error, "TimeoutError"):
        return str(error)
    return ""


def _is_sqlalchemys(error: BaseException, kind: str) -> bool:
    """Whether the error is of this kind of SQLAlchemy's; none is in a process that has never imported that."""
    kinds = sys.modules.get("sqlalchemy.exc")
    return kinds is not None and isinstance(error, getattr(kinds, kind))


def _of_postgresql(error: Any) -> str:
    state = error.sqlstate
    if state is None:  # no server has answered
        lines = str(error).strip().splitlines()
        return lines[0] if lines and type(error).__name__ == "OperationalError" else ""
    if state.startswith(_ABOUT_A_CONNECTION):
        return f"SQLSTATE {state}, {error.diag.message_primary}"
    named = (error.diag.table_name, error.diag.column_name, error.diag.constraint_name)
    return ", ".join([f"SQLSTATE {state}", *filter(None, named)])


def _of_sqlite(error: sqlite3.Error) -> str:
    text = str(error)
    if text.startswith(_ABOUT_THE_FILE):
        return text
    constraint = _CONSTRAINT.fullmatch(text)
    return constraint[0] if constraint else getattr(error, "sqlite_errorname", "") or ""


def trace(error: BaseException) -> str:
    """The traceback with its causes, as Python shows it, but without quoted data."""
    return "\n".join(reversed(list(_chain(error))))


def _chain(error: BaseException | None) -> Iterator[str]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield _one(error)
        if error.__cause__ is not None:
            yield "\nThe above exception was the direct cause of the following exception:\n"
            error = error.__cause__
        elif error.__context__ is not None and not error.__suppress_context__:
            yield "\nDuring handling of the above exception, another exception occurred:\n"
            error = error.__context__
        else:
            error = None


def _one(error: BaseException) -> str:
    kind = type(error)
    place = "".join(traceback.format_tb(error.__traceback__))
    said = f"{kind.__name__}: {error.message}" if isinstance(error, TouchlineError) else words(error)
    parts = [f"Traceback (most recent call last):\n{place}{kind.__module__}.{said}"]
    if isinstance(error, BaseExceptionGroup):
        parts += [trace(each) for each in error.exceptions]
    return "\n".join(parts)
