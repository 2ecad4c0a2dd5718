"""How the embedded log lies on disk: chunks of records in one SQLite file.

A chunk is one blob: the records that one commit added to one partition. Against a row per record that writes
four to eight times as many records a second and takes a fraction of the space (LZ4 finds the repeated
attribute names). A chunk's rowid is its place: the lane's number in the upper bits, the first record's offset
in the lower 48.

One connection writes and checkpoints, in one thread; the other only reads. SQLite before 3.51.3 can corrupt a
WAL when two connections write or checkpoint at the same instant; here there is only ever one that does.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from backbone.log.embedded.chunk_codec import encode
from backbone.log.embedded.chunk_reader import (
    LAST_OFFSET,
    OFFSET_BITS,
    ChunkReader,
    StoredPartition,
    lanes_in,
)
from backbone.log.embedded.sqlite_errors import translated
from backbone.log.records import Entry, LogInUse, LogUnavailable, PartitionsChanged, Record
from backbone.private_files import open_private, private_database, private_folder

_PROBE_BYTES = 64 << 10
_FORMAT = "2"
_UNSUMMED = "1"  # the format of chunks without a checksum

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lanes (
  lane INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
  start INTEGER NOT NULL, next INTEGER NOT NULL, timestamp INTEGER NOT NULL, UNIQUE (topic, partition));
CREATE TABLE IF NOT EXISTS chunks (
  place INTEGER PRIMARY KEY, count INTEGER NOT NULL, timestamp INTEGER NOT NULL, body BLOB NOT NULL);
"""

_ROWS = 1_000  # of one statement

_MOVE = """
WITH new (lane, next, timestamp) AS (VALUES {})
UPDATE lanes SET next = new.next, timestamp = new.timestamp FROM new WHERE lanes.lane = new.lane
"""


class Chunk(NamedTuple):
    """Entries that stand one after the other in a lane, with one receipt time (microseconds)."""

    lane: int
    first: int
    timestamp: int
    entries: Sequence[Entry]


class ChunkStore:
    """`log.db` in a folder, for one process. Safe to use from several threads."""

    def __init__(self, folder: Path, topics: Sequence[str], partitions: int) -> None:
        """Open or create. Raises `LogInUse`, `PartitionsChanged`, `LogUnavailable`."""
        try:
            private_folder(folder)
            self._lock_fd = _lock(folder)
        except OSError as error:
            raise LogUnavailable(f"the embedded log cannot open {folder}: {error}") from error
        try:
            with translated(f"open {folder / 'log.db'}"):
                self._open(folder / "log.db", topics, partitions)
        except BaseException:
            os.close(self._lock_fd)
            raise
        self._writing = threading.Lock()

    @property
    def mark(self) -> str | None:
        """What names this log among others (see `backbone.store_identity`), None if it has no name yet."""
        with self._writing, translated("be read"):
            row = self._writer.execute("SELECT value FROM about WHERE name = 'mark'").fetchone()
        return None if row is None else str(row[0])

    @mark.setter
    def mark(self, value: str) -> None:
        with self._writing, translated("be named"):
            self._writer.execute("REPLACE INTO about VALUES ('mark', ?)", (value,))

    def begin_at(self, lane: int, offset: int) -> None:
        """The lane, which is empty, begins there."""
        with self._writing, translated("be moved on"):
            self._writer.execute("UPDATE lanes SET start = ?1, next = ?1 WHERE lane = ?2", (offset, lane))

    def _open(self, path: Path, topics: Sequence[str], partitions: int) -> None:
        private_database(path)
        self._writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "secure_delete=ON"):
            self._writer.execute(f"PRAGMA {pragma}")
        self._writer.executescript(_SCHEMA)
        self._reader = ChunkReader(path)
        try:
            self._check(topics, partitions)
        except BaseException:
            self._reader.close()
            self._writer.close()
            raise

    def _check(self, topics: Sequence[str], partitions: int) -> None:
        about = dict(self._writer.execute("SELECT name, value FROM about"))
        if about.get("format", _FORMAT) not in {_FORMAT, _UNSUMMED}:
            raise LogUnavailable(f"log.db has format {about['format']}, this version reads format {_FORMAT}")
        if about.get("partitions", str(partitions)) != str(partitions):
            raise PartitionsChanged(
                f"this log was created with {about['partitions']} partitions, TOUCHLINE_PARTITIONS says "
                f"{partitions}. Set it back: a partition count cannot change once the log exists"
            )
        rows = [(topic, partition) for topic in topics for partition in range(partitions)]
        self._writer.execute("BEGIN IMMEDIATE")
        if about.get("format") == _UNSUMMED:
            self._writer.execute("INSERT INTO about SELECT 'summed ' || lane, next FROM lanes")
        self._writer.execute("INSERT OR REPLACE INTO about VALUES ('format', ?)", (_FORMAT,))
        self._writer.execute("INSERT OR IGNORE INTO about VALUES ('partitions', ?)", (str(partitions),))
        self._writer.executemany(
            "INSERT OR IGNORE INTO lanes (topic, partition, start, next, timestamp) VALUES (?, ?, 0, 0, 0)",
            rows,
        )
        self._writer.execute("COMMIT")

    def lanes(self) -> list[StoredPartition]:
        """Every lane, as of now. Raises `LogUnavailable`."""
        return lanes_in(self._writer)

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Store the chunks and move their lanes on: all or nothing, and durable. Raises `LogUnavailable`."""
        rows = [
            (place, len(c.entries), c.timestamp, encode(c.entries, place, c.timestamp))
            for c, place in ((c, c.lane << OFFSET_BITS | c.first) for c in chunks)
        ]
        ends = {c.lane: (c.lane, c.first + len(c.entries), c.timestamp) for c in chunks}
        with translated("write"), self._transaction():
            self._many("INSERT INTO chunks VALUES {}", rows)
            self._many(_MOVE, list(ends.values()))

    def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """All rows in one statement: each statement lets go of the interpreter and has to get it back."""
        for begin in range(0, len(rows), _ROWS):
            part = rows[begin : begin + _ROWS]
            marks = "(" + ", ".join("?" * len(part[0])) + ")"
            values = ", ".join([marks] * len(part))
            self._writer.execute(statement.format(values), [each for row in part for each in row])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                raise

    def expired(self, lane: int, before: int, limit: int) -> int | None:
        """Where a lane would begin without up to `limit` of its oldest chunks, those received before `before`
        (microseconds). None if there are none. Raises `LogUnavailable`.
        """
        with translated("look for old records"):
            oldest = self._writer.execute(
                "SELECT place, timestamp FROM chunks WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?",
                (lane << OFFSET_BITS, lane << OFFSET_BITS | LAST_OFFSET, limit),
            ).fetchall()
            newest = self._writer.execute(
                "SELECT next, timestamp FROM lanes WHERE lane = ?", (lane,)
            ).fetchone()
        gone = 0
        for index, (_, timestamp) in enumerate(oldest):  # times never fall: one that does is damaged
            if timestamp < before:
                gone = index + 1
            elif timestamp <= newest[1]:
                break
        if not gone:
            return None
        return (
            oldest[gone][0] & LAST_OFFSET
            if gone < len(oldest)
            else self._first_after(oldest[-1][0], newest[0])
        )

    def _first_after(self, place: int, end: int) -> int:
        """Where the chunk after one begins, or `end`."""
        last = place | LAST_OFFSET
        row = self._writer.execute(
            "SELECT min(place) FROM chunks WHERE place > ? AND place <= ?", (place, last)
        ).fetchone()
        return end if row[0] is None else row[0] & LAST_OFFSET

    def remove(self, lane: int, start: int) -> None:
        """Let a lane begin at `start`, where a chunk does. Raises `LogUnavailable`."""
        base = lane << OFFSET_BITS
        with translated("remove old records"), self._transaction():
            self._writer.execute("DELETE FROM chunks WHERE place >= ? AND place < ?", (base, base | start))
            self._writer.execute("UPDATE lanes SET start = ? WHERE lane = ?", (start, lane))

    def probe(self) -> None:
        """Write something and take it back. Raises `LogUnavailable`."""
        with translated("write"):
            with self._transaction():
                self._writer.execute("REPLACE INTO about VALUES ('probe', zeroblob(?))", (_PROBE_BYTES,))
            with self._transaction():
                self._writer.execute("DELETE FROM about WHERE name = 'probe'")

    def read(self, lane: StoredPartition, offset: int, limit: int, end: int) -> list[Record]:
        """See `ChunkReader.read`."""
        return self._reader.read(lane, offset, limit, end)

    def lost(self, lane: StoredPartition, offset: int, limit: int, end: int) -> list[Record]:
        """See `ChunkReader.lost`."""
        return self._reader.lost(lane, offset, limit, end)

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._reader.close()
        with suppress(sqlite3.Error):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with suppress(sqlite3.Error):
            self._writer.close()
        os.close(self._lock_fd)


def _lock(folder: Path) -> int:
    """A lock that the kernel drops with the process; the descriptor to close."""
    fd = open_private(folder / "log.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise LogInUse(
            f"the embedded log in {folder} is open in another process (pid {holder or 'unknown'}). It serves "
            "one process: stop that one, choose another TOUCHLINE_DATA_DIR, or use Kafka"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return fd
