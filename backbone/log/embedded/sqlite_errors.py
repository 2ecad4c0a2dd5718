"""What SQLite says of the embedded log's file, in our words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from backbone.errors import LogUnavailable
from backbone.redaction import words

_RESTORE = "; it is damaged: restore the data folder from a backup"
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@contextmanager
def translated(what: str) -> Iterator[None]:
    """SQLite's errors (disk full, locked, I/O) as `LogUnavailable`."""
    try:
        yield
    except sqlite3.Error as error:
        remedy = _RESTORE if is_damage(error) else ""
        raise LogUnavailable(f"the embedded log cannot {what}: {words(error)}{remedy}") from error
    except UnicodeDecodeError as error:  # SQLite quotes a damaged name, which Python cannot read
        raise LogUnavailable(f"the embedded log cannot {what}: a name in it is no text{_RESTORE}") from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
