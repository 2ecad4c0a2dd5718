"""Rows of an export as lines of JSON or CSV."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from backbone.exports.reading import Item

Format = Literal["ndjson", "csv"]
PIECE = 65_536  # bytes in memory before they are handed on
MEDIA: dict[Format, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_encode = msgspec.json.Encoder().encode
_SPECIAL = frozenset(',"\r\n')


def body(items: Iterable[Item], form: Format, fields: Sequence[str]) -> Iterator[bytes]:
    """The answer in pieces; `fields` are the columns of CSV."""
    return _pieces(_csv(items, fields) if form == "csv" else map(_line, items))


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for line in lines:
        held += line
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _line(item: Item) -> bytes:
    shown = {"id": item.id, "deleted": True} if item.shown is None else item.shown
    return _encode({"cursor": item.cursor, **shown}) + b"\n"


def _csv(items: Iterable[Item], fields: Sequence[str]) -> Iterator[bytes]:
    yield _record(("cursor", "deleted", *fields), str)
    for item in items:
        shown = {"id": item.id} if item.shown is None else item.shown
        cells = (item.cursor, item.shown is None, *(shown.get(field) for field in fields))
        yield _record(cells, _cell)


def _record(cells: Iterable[Any], form: Callable[[Any], str]) -> bytes:
    return (",".join(form(cell) for cell in cells) + "\r\n").encode("utf-8", "replace")


def _cell(value: Any) -> str:
    """A value as RFC 4180 has it: nothing for null, quotes for an empty text, JSON for what is nested."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _encode(value).decode()
    if text and _SPECIAL.isdisjoint(text) and text == text.strip():
        return text
    return '"' + text.replace('"', '""') + '"'
