"""Reads events, one in JSON a line, and gives those an id that have none: from what the line says, and which of the
lines that say the same it is. So the same file, renamed, mended or grown, gives the same ids.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import msgspec

from services.cli.imports.report import Unusable

MOST_BYTES = 65_536  # of one event
CACHE_KIB = 32_768
_BOM = b"\xef\xbb\xbf"
_NULL = b"null"
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_text = msgspec.json.Decoder(str).decode
_moment = msgspec.json.Decoder(datetime).decode


class BadLine(ValueError):
    """A line that is no event; the message says what is wrong."""


class Line(NamedTuple):
    """A line that holds something: its number, where it begins and ends in the file, and its bytes.

    `raw` is None for a line longer than any event.
    """

    number: int
    begin: int
    end: int
    raw: bytes | None


class EventLine(NamedTuple):
    """An event as it will be sent; `dated`: it says when it happened. `time`: None where that is no time."""

    account: str
    body: bytes
    dated: bool
    time: datetime | None


def lines_of(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file, but for empty ones; in memory is one at a time."""
    number = begin = 0
    while raw := file.readline(MOST_BYTES + 1):
        number += 1
        whole: bytes | None = raw
        end = begin + len(raw)
        while len(raw) > MOST_BYTES and not raw.endswith(b"\n"):
            whole = None
            if not (raw := file.readline(MOST_BYTES + 1)):
                break
            end += len(raw)
        if whole is not None:
            whole = (whole.removeprefix(_BOM) if number == 1 else whole).strip()
        if whole is None or whole:
            yield Line(number, begin, end, whole)
        begin = end


class Namer:
    """Reads the events in lines. Keeps on disk how often each text stood in the file so far. Use it in a `with`."""

    def __init__(self, *, historical: bool) -> None:
        self._historical = historical
        self._said = sqlite3.connect("")  # a temporary file, which nobody else sees
        self._said.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._said.execute("CREATE TABLE said (text BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID")

    def __enter__(self) -> "Namer":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._said.close()

    def event(self, line: Line) -> EventLine:
        """The event in a line. Raises `BadLine`."""
        if line.raw is None:
            raise BadLine(f"is longer than an event may be: {MOST_BYTES:,} bytes")
        try:
            fields = _decode(line.raw)
        except (msgspec.ValidationError, RecursionError):
            raise BadLine(
                'should be one event, an object such as {"type": "login", "account": "acme"}'
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadLine(f"is not JSON: {_why(error)}") from None
        if bytes(fields.get("id", _NULL)) == _NULL:
            fields["id"] = msgspec.Raw(_encode(self._id(line.raw)))
        if self._historical:
            fields["historical"] = msgspec.Raw(b"true")
        dated = bytes(fields.get("time", _NULL)) != _NULL
        return EventLine(_account(fields), _encode(fields), dated, _time(fields) if dated else None)

    def _id(self, raw: bytes) -> str:
        digest = hashlib.blake2b(raw, digest_size=16)
        (times,) = self._said.execute(
            "INSERT INTO said VALUES (?, 0) ON CONFLICT (text) DO UPDATE SET times = times + 1 RETURNING times",
            (digest.digest(),),
        ).fetchone()
        return f"import-{digest.hexdigest()}" + (f"-{times}" if times else "")


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it has bytes that are no UTF-8"
    return str(error).removeprefix("JSON is malformed: ")


def _account(fields: dict[str, msgspec.Raw]) -> str:
    """The account, by which events are kept in order; what is none is refused by the server."""
    try:
        return _text(fields["account"])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _time(fields: dict[str, msgspec.Raw]) -> datetime | None:
    try:
        found = _moment(fields["time"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.tzinfo is not None else None


def first_line(path: Path) -> bytes:
    """The beginning of a file of events. Raises `Unusable` where it cannot be one."""
    with path.open("rb") as file:
        first = next(lines_of(file), None)
    if first is None:
        raise Unusable(f"{path}: is empty; it should hold one event in JSON a line")
    raw = first.raw or b""
    if raw.startswith(b"["):
        raise Unusable(
            f"{path}: is a JSON array, and should hold one event a line: jq -c '.[]' {path} > events.ndjson"
        )
    return raw
