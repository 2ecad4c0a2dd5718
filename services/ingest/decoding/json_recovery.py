"""Takes invalid JSON apart, to recover the good events of a body in which one is bad.

A string cut in the middle of an emoji (`"\\ud83d"`), a raw control character, `NaN`, or very deep brackets stop a
JSON reader, and everything beside them is lost. This code only tells strings, brackets and commas apart; it is
linear, and handles up to `MAX_MARKS` of them. The caller has to find out whether each piece is JSON.
"""

import re
from collections.abc import Iterator

import msgspec

MAX_MARKS = 150_000  # strings, brackets and commas: takes 60 ms
MAX_ESCAPES = 100_000
_MARK = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
_SPACE = b" \t\r\n"
_text = msgspec.json.Decoder(str).decode
# msgspec's messages about half a surrogate pair, whichever half it is and wherever the text ends.
_HALVES = ("surrogate", "end of hex escape", "was truncated")
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


class NotRecoverable(ValueError):
    """Brackets do not match, a string does not end, or there are too many of them."""


def elements(array: bytes) -> list[bytes]:
    """The elements of a JSON array, each as sent. Raises `NotRecoverable`."""
    return list(_pieces(array, b"[", b"]"))


def members(object_: bytes) -> dict[str, bytes]:
    """The members of a JSON object, each value as sent; later ones win. Raises `NotRecoverable`."""
    found: dict[str, bytes] = {}
    for piece in _pieces(object_, b"{", b"}"):
        key = _MARK.match(piece)
        rest = piece[key.end() :].lstrip(_SPACE) if key else b""
        if key is None or rest[:1] != b":":
            raise NotRecoverable
        try:
            found[_text(key[0])] = rest[1:].strip(_SPACE)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # nobody asks for a name that is not text
    return found


def _pieces(whole: bytes, opens: bytes, closes: bytes) -> Iterator[bytes]:
    body = whole.strip(_SPACE)
    if body[:1] != opens or body[-1:] != closes or len(body) < 2:
        raise NotRecoverable
    if body.count(b"\\") > MAX_ESCAPES:
        raise NotRecoverable
    depth, start = 0, 1
    for number, mark in enumerate(_MARK.finditer(body)):
        sign = body[mark.start()]
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
            if depth == 0 and mark.end() != len(body):
                raise NotRecoverable
        elif sign == 0x2C and depth == 1:
            yield body[start : mark.start()].strip(_SPACE)
            start = mark.end()
        if number > MAX_MARKS or depth < 0:
            raise NotRecoverable
    if depth:
        raise NotRecoverable
    last = body[start:-1].strip(_SPACE)
    if last:
        yield last
    elif start > 1:
        raise NotRecoverable


def is_half_a_pair(body: bytes | memoryview, error: Exception) -> bool:
    """Whether a reader failed at half a surrogate pair, which JSON's grammar allows but which is not text."""
    said = str(error)
    return any(each in said for each in _HALVES) and _HALF.search(body) is not None
