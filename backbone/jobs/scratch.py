"""Temporary disk of a job, within a limit. The files have no name, so they go with the process, however it ends."""

import sqlite3
import tempfile
from typing import IO, Any

from backbone.jobs.limits import JobFailed

PAGE = 4_096


class Scratch:
    """The temporary files of one process, `limit` bytes together. Raises `JobFailed` where they would be more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._databases: list[sqlite3.Connection] = []
        self._written = 0

    def database(self, schema: str = "") -> sqlite3.Connection:
        """A new SQLite database on disk, fast and without any durability: all of its life is one transaction."""
        made = sqlite3.connect("", isolation_level=None)
        for pragma in (f"page_size={PAGE}", "journal_mode=OFF", "synchronous=OFF", "cache_size=-8000"):
            made.execute(f"PRAGMA {pragma}")
        made.execute(f"PRAGMA max_page_count={max(1, self._limit // PAGE)}")
        made.executescript(schema)
        made.execute("BEGIN")  # a commit for each statement would take longer than the statement
        self._databases.append(made)
        return made

    def file(self) -> IO[bytes]:
        """An empty file. Whoever writes to it says how much with `wrote`."""
        return tempfile.TemporaryFile()

    def wrote(self, size: int) -> None:
        """Count bytes about to be written to a file."""
        self._written += size
        self.check()

    def check(self) -> None:
        """Raise `JobFailed` where the limit is passed."""
        if self._written + sum(map(_size, self._databases)) > self._limit:
            raise JobFailed(too_much(self._limit))


def too_much(limit: int) -> str:
    """What a job says that needs more than so many bytes of temporary disk."""
    return f"it needs more than {limit >> 20:,} MiB of temporary disk; TOUCHLINE_JOB_DISK allows no more"


def is_full(error: Exception) -> bool:
    """Whether this is SQLite's way to say that a database of `Scratch` would pass the limit."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def _size(db: sqlite3.Connection) -> Any:
    return db.execute("PRAGMA page_count").fetchone()[0] * PAGE
