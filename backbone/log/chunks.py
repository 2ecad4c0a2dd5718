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
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import lz4.block
import msgspec

from backbone.files import open_private, private_database, private_folder
from backbone.log.records import Entry, Headers, LogInUse, LogUnavailable, PartitionsChanged, Record

_OFFSET_BITS = 48
_LAST_OFFSET = (1 << _OFFSET_BITS) - 1
_COMPRESS_FROM = 512  # bytes; below that LZ4 gains little
_ACCELERATION = 4  # LZ4's: a fifth less time than 1 for a twentieth more space
_CACHED_CHUNKS = 32
READ_BYTES = 16 << 20  # of values that one read returns, about; as a fetch from Kafka
_PROBE_BYTES = 64 << 10
_FORMAT = "1"
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lanes (
  lane INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
  start INTEGER NOT NULL, next INTEGER NOT NULL, timestamp INTEGER NOT NULL, UNIQUE (topic, partition));
CREATE TABLE IF NOT EXISTS chunks (
  place INTEGER PRIMARY KEY, count INTEGER NOT NULL, timestamp INTEGER NOT NULL, body BLOB NOT NULL);
"""

_Heads = tuple[tuple[str, bytes], ...]
_Body = tuple[list[str | None], list[bytes], list[_Heads] | None]
_Alike = tuple[list[str | None], list[bytes], _Heads]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Body).decode
_unpack_alike = msgspec.msgpack.Decoder(_Alike).decode
_LZ4, _ALIKE = 1, 2  # bits of a blob's first byte: compressed; one set of headers for all its records
_ROWS = 1_000  # of one statement


_MOVE = """
WITH new (lane, next, timestamp) AS (VALUES {})
UPDATE lanes SET next = new.next, timestamp = new.timestamp FROM new WHERE lanes.lane = new.lane
"""


class StoredLane(NamedTuple):
    """A partition of a topic in the file: offsets `start` to `next` - 1, the newest record's timestamp."""

    lane: int
    topic: str
    partition: int
    start: int
    next: int
    timestamp: int


class Chunk(NamedTuple):
    """Entries that stand one after the other in a lane, with one receipt time (microseconds)."""

    lane: int
    first: int
    timestamp: int
    entries: Sequence[Entry]


def encode(entries: Sequence[Entry]) -> bytes:
    """A chunk's blob: one byte (`_LZ4`, `_ALIKE`) and the MessagePack of keys, values and headers."""
    headers = [e.headers for e in entries]
    alike = headers.count(headers[0]) == len(headers)
    body = _pack(([e.key for e in entries], [e.value for e in entries], headers[0] if alike else headers))
    kind = _ALIKE if alike else 0
    if len(body) < _COMPRESS_FROM:
        return bytes((kind,)) + body
    packed: bytes = lz4.block.compress(body, mode="fast", acceleration=_ACCELERATION)
    return bytes((kind | _LZ4,)) + packed


def decode(body: bytes, lane: StoredLane, first: int, timestamp: int) -> list[Record]:
    """The records of a chunk's blob."""
    packed = lz4.block.decompress(body[1:]) if body[0] & _LZ4 else body[1:]
    each: Sequence[Headers]
    if body[0] & _ALIKE:
        keys, values, shared = _unpack_alike(packed)
        each = [shared] * len(keys)
    else:
        keys, values, headers = _unpack(packed)
        each = headers if headers is not None else [()] * len(keys)
    topic, partition = lane.topic, lane.partition
    return [
        Record(topic, partition, first + i, keys[i], values[i], timestamp, each[i]) for i in range(len(keys))
    ]


def bytes_of(records: Sequence[Record]) -> int:
    """Bytes of their values."""
    return sum(len(record.value) for record in records)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """SQLite's errors (disk full, locked, I/O) as `LogUnavailable`."""
    try:
        yield
    except sqlite3.Error as error:
        damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
        remedy = "; it is damaged: restore the data folder from a backup" if damaged else ""
        raise LogUnavailable(f"the embedded log cannot {what}: {error}{remedy}") from error


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
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._cache: OrderedDict[int, list[Record]] = OrderedDict()

    def _open(self, path: Path, topics: Sequence[str], partitions: int) -> None:
        private_database(path)
        self._writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "secure_delete=ON"):
            self._writer.execute(f"PRAGMA {pragma}")
        self._writer.executescript(_SCHEMA)
        self._reader = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            self._check(topics, partitions)
        except BaseException:
            self._reader.close()
            self._writer.close()
            raise

    def _check(self, topics: Sequence[str], partitions: int) -> None:
        about = dict(self._writer.execute("SELECT name, value FROM about"))
        if about.get("format", _FORMAT) != _FORMAT:
            raise LogUnavailable(f"log.db has format {about['format']}, this version reads format {_FORMAT}")
        if about.get("partitions", str(partitions)) != str(partitions):
            raise PartitionsChanged(
                f"this log was created with {about['partitions']} partitions, TOUCHLINE_PARTITIONS says "
                f"{partitions}. Set it back: a partition count cannot change once the log exists"
            )
        rows = [(topic, partition) for topic in topics for partition in range(partitions)]
        self._writer.execute("BEGIN IMMEDIATE")
        self._writer.execute("INSERT OR IGNORE INTO about VALUES ('format', ?)", (_FORMAT,))
        self._writer.execute("INSERT OR IGNORE INTO about VALUES ('partitions', ?)", (str(partitions),))
        self._writer.executemany(
            "INSERT OR IGNORE INTO lanes (topic, partition, start, next, timestamp) VALUES (?, ?, 0, 0, 0)",
            rows,
        )
        self._writer.execute("COMMIT")

    def lanes(self) -> list[StoredLane]:
        """Every lane, as of now."""
        rows = self._writer.execute("SELECT lane, topic, partition, start, next, timestamp FROM lanes")
        return [StoredLane(*row) for row in rows]

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Store the chunks and move their lanes on: all or nothing, and durable. Raises `LogUnavailable`."""
        rows = [
            (c.lane << _OFFSET_BITS | c.first, len(c.entries), c.timestamp, encode(c.entries)) for c in chunks
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
                "SELECT place, count, timestamp FROM chunks WHERE place BETWEEN ? AND ?"
                " ORDER BY place LIMIT ?",
                (lane << _OFFSET_BITS, lane << _OFFSET_BITS | _LAST_OFFSET, limit),
            ).fetchall()
        gone = [(place, count) for place, count, timestamp in oldest if timestamp < before]
        return (gone[-1][0] & _LAST_OFFSET) + gone[-1][1] if gone else None

    def remove(self, lane: int, start: int) -> None:
        """Let a lane begin at `start`, where a chunk does. Raises `LogUnavailable`."""
        base = lane << _OFFSET_BITS
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

    def read(self, lane: StoredLane, offset: int, limit: int) -> list[Record]:
        """Up to `limit` committed records from `offset` on, and about `READ_BYTES`. Raises `LogUnavailable`."""
        found: list[Record] = []
        size = 0
        with self._reading, translated("read"):
            while len(found) < limit and size < READ_BYTES:
                records = self._chunk_with(lane, offset)
                if not records or records[-1].offset < offset:
                    break
                part = records[offset - records[0].offset :][: limit - len(found)]
                found += part
                size += bytes_of(part)
                offset = found[-1].offset + 1
        return found

    def _chunk_with(self, lane: StoredLane, offset: int) -> list[Record]:
        """The newest chunk that begins at or before `offset`; empty if there is none."""
        base = lane.lane << _OFFSET_BITS
        row = self._reader.execute(
            "SELECT max(place) FROM chunks WHERE place BETWEEN ? AND ?", (base, base | offset)
        ).fetchone()
        if row[0] is None:
            return []
        place: int = row[0]
        records = self._cache.get(place)
        if records is None:
            records = self._load(lane, place)
        else:
            self._cache.move_to_end(place)
        return records

    def _load(self, lane: StoredLane, place: int) -> list[Record]:
        row = self._reader.execute("SELECT timestamp, body FROM chunks WHERE place = ?", (place,)).fetchone()
        if row is None:  # removed by retention since it was found
            return []
        records = decode(row[1], lane, place & _LAST_OFFSET, row[0])
        self._cache[place] = records
        if len(self._cache) > _CACHED_CHUNKS:
            self._cache.popitem(last=False)
        return records

    def close(self) -> None:
        """Close the file and give up the lock."""
        with self._reading, suppress(sqlite3.Error):
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
