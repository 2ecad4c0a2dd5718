"""Reads CSV as Excel and others write it: a byte order mark, `;` or tabs between cells, CRLF, line breaks in quotes.

Bytes that are no UTF-8 make their row a bad one, which is named, and no neighbour of it.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.cli.imports.report import Unusable

DELIMITERS = ",;\t"
MOST_BYTES = 1 << 20  # of one row: a quote that is never closed would swallow the file
LATIN = "windows-1252"
_SEP = re.compile(r'"?sep=([,;\t])"?\r?\n', re.IGNORECASE)
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
NO_UTF8 = f"has bytes that are no UTF-8: save the file as CSV UTF-8, or say --encoding {LATIN}"


@dataclass
class Row:
    """The cells of a row and the line at which it begins; `wrong` says why it cannot be read."""

    line: int
    cells: list[str]
    wrong: str | None = None


@dataclass
class Table:
    """A CSV file that is read row by row. `position` is how many bytes have been read."""

    path: Path
    encoding: str | None = None
    header: list[str] = field(default_factory=list)
    delimiter: str = ","
    size: int = 0
    position: int = 0
    above: int = 0  # lines above the header

    def __post_init__(self) -> None:
        """Read the header. Raises `Unusable`."""
        self.size = self.path.stat().st_size
        with self.path.open("rb") as file:
            begin = file.read(MOST_BYTES)
        if not begin.strip():
            raise Unusable(f"{self.path}: is empty; its first line should name the columns")
        self.encoding = self._encoding(begin)
        text = begin.decode(
            self.encoding, "surrogateescape" if self.encoding.startswith("utf-8") else "replace"
        )
        if told := _SEP.match(text):  # a line by which Excel is told the separator
            self.delimiter, self.above = told[1], 1
            found = _first(io.StringIO(text[told.end() :], newline=""), self.delimiter)
        else:
            tried = {mark: _first(io.StringIO(text, newline=""), mark) for mark in DELIMITERS}
            self.delimiter = max(DELIMITERS, key=lambda mark: len(tried[mark]))
            found = tried[self.delimiter]
        if not found:
            raise Unusable(
                f"{self.path}:1: the names of the columns cannot be read: something is wrong with the quotes"
            )
        self.header = [name.strip() for name in found]
        if any(not _is_text(name) for name in self.header):
            raise Unusable(f"{self.path}:1: {NO_UTF8}")

    def _encoding(self, begin: bytes) -> str:
        for mark, name in _MARKS:
            if begin.startswith(mark):
                return name
        try:
            return codecs.lookup(self.encoding or "utf-8").name
        except LookupError:
            raise Unusable(f"--encoding {self.encoding}: is none, such as utf-8 or {LATIN}") from None

    def rows(self) -> Iterator[Row]:
        """The rows below the header, in order; empty lines are passed over."""
        with self.path.open("rb") as raw:
            lenient = self.encoding in ("utf-8", "utf-8-sig", "ascii")
            text = io.TextIOWrapper(
                raw, self.encoding, "surrogateescape" if lenient else "replace", newline=""
            )
            reader = csv.reader(text, delimiter=self.delimiter, strict=True)
            for _ in range(1 + self.above):
                next(reader)
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Row(line, [], _broken(error, line, reader.line_num))
                    continue
                self.position = raw.tell()
                if any(cell.strip() for cell in cells):
                    yield Row(line, cells, self._wrong(cells))

    def _wrong(self, cells: list[str]) -> str | None:
        bad = next((place for place, cell in enumerate(cells) if not _is_text(cell)), None)
        if bad is not None:
            where = f"{self.header[bad]}: " if bad < len(self.header) else ""
            return where + NO_UTF8
        while len(cells) > len(self.header) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(self.header):
            return f"has {_cells(len(cells))}, and the header {len(self.header)}"
        return None


def _broken(error: csv.Error, first: int, last: int) -> str:
    """What is wrong with the quotes of a row that cannot be read."""
    if "delimiter" in str(error) or "expected after" in str(error):
        return "a quote stands inside a cell: it should be doubled, and the cell quoted"
    unread = f"; lines {first} to {last} were not read" if last > first else ""
    return f"a quote is opened here and not closed{unread}"


def _first(text: io.StringIO, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(text, delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def _is_text(cell: str) -> bool:
    return not any("\ud800" <= mark <= "\udfff" for mark in cell)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
