"""Reads whole request bodies before anything else runs, within limits on size, time and depth, and decodes JSON.

The limits apply to the body as sent and after unpacking `Content-Encoding: gzip`.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec
from starlette.types import Receive, Scope

from backbone.errors import BadRequest, RateLimited, TooLarge, UnsupportedMedia

MAX_BODY = 1_048_576  # bytes
MAX_DEPTH = 64  # of JSON in general; the `data` of an event has its own limit
MAX_VALUES = 20_000  # of JSON in general: each value takes many times its bytes in memory
MAX_LARGE = 2  # bodies larger than `MAX_BODY` that a process has in hand at once
MAX_MEMBERS = 500  # of a gzip body: unpacking copies the rest after each member
_BRACKETS_ONLY = bytes(byte for byte in range(256) if byte not in b"{}[]")
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_decode = msgspec.json.Decoder().decode

Handler = TypeVar("Handler", bound=Callable[..., Any])


class LargeBody(NamedTuple):
    """What a route says that takes larger bodies than others: how many bytes, and how its JSON is read."""

    most: int
    read: Callable[[bytes], Any]


def large_body(most: int, read: Callable[[bytes], Any]) -> Callable[[Handler], Handler]:
    """Decorator: this `JsonRoute`'s body may have `most` bytes; `read` decodes it, in a thread, in place of
    `parse_json`."""

    def mark(handler: Handler) -> Handler:
        handler.large_body = LargeBody(most, read)  # type: ignore[attr-defined]
        return handler

    return mark


class LargeBodies:
    """The large bodies in hand. Belongs to the event loop."""

    def __init__(self, most: int = MAX_LARGE) -> None:
        self._most, self._held = most, 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold one from before it is read until it is answered. Raises `RateLimited`."""
        if self._held >= self._most:
            raise RateLimited(f"{self._most} large bodies are being read already", code="busy")
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1


class NotJson(BadRequest):
    """The body is not JSON, or exceeds our limits on JSON."""

    code = "not_json"
    title = "The body is not JSON"


def _ignore(_size: int) -> None:
    """Does nothing, when nobody counts the bytes."""


async def read_body(
    scope: Scope, receive: Receive, *, most: int = MAX_BODY, came: Callable[[int], None] = _ignore
) -> bytes:
    """The whole unpacked body, of at most `most` bytes. The server limits the time.

    `came` is called with the size of each piece. Raises `TooLarge`, `UnsupportedMedia`, `BadRequest`.
    """
    encoding = length = b""
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = value
        elif name == b"content-encoding":
            encoding = value.strip().lower()
    if length.isdigit() and int(length[:20]) > most:
        raise _too_large(most)
    if encoding not in {b"", b"identity", b"gzip", b"x-gzip"}:
        raise UnsupportedMedia("the Content-Encoding should be gzip or identity")
    body = await _receive_all(receive, most, came)
    return gunzip(body, most) if encoding.endswith(b"gzip") else body


async def _receive_all(receive: Receive, most: int, came: Callable[[int], None]) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the client went away while it sent the body", code="disconnected")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        came(len(parts[-1]))
        if size > most:
            raise _too_large(most)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"a request may have {most:,} bytes, unpacked too", code="request_too_large")


def gunzip(body: bytes, limit: int = MAX_BODY) -> bytes:
    """Unpack gzip (one or more members), to at most `limit` bytes. Raises `BadRequest`, `TooLarge`."""
    out = bytearray()
    rest, members = body, 0
    try:
        while rest:
            members += 1
            if members > MAX_MEMBERS:
                raise BadRequest(f"a gzip body may have {MAX_MEMBERS} members", code="bad_gzip")
            unpacker = zlib.decompressobj(wbits=31)
            out += unpacker.decompress(rest, limit + 1 - len(out))
            if len(out) > limit:
                raise _too_large(limit)
            if not unpacker.eof:
                raise BadRequest("the gzip body is cut short", code="bad_gzip")
            rest = unpacker.unused_data.lstrip(b"\0")
    except zlib.error:
        raise BadRequest("the body is not gzip, but Content-Encoding says so", code="bad_gzip") from None
    if not body:
        raise BadRequest("the gzip body is empty", code="bad_gzip")
    return bytes(out)


def deeper_than(body: bytes, depth: int) -> bool:
    """Whether brackets are nested deeper than `depth`.

    Linear, without recursion. For text that is not JSON it may be wrongly True.
    """
    if body.count(b"[") + body.count(b"{") <= depth:
        return False
    brackets = _STRING.sub(b"", body).translate(_TO_SQUARE, _BRACKETS_ONLY)
    for _ in range(depth):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def has_nul(body: bytes) -> bool:
    """Whether any string in this JSON contains a NUL."""
    return b"\\u0000" in body and _NUL.search(body) is not None


def _too_many_values(body: bytes) -> bool:
    return body.count(b",") > MAX_VALUES and _STRING.sub(b"", body).count(b",") > MAX_VALUES


def parse_json(body: bytes) -> Any:
    """Decode JSON: at most `MAX_DEPTH` deep, at most `MAX_VALUES` values, no NUL, UTF-8, no NaN, no infinite numbers.

    Raises `NotJson`.
    """
    if _too_many_values(body):
        raise NotJson(f"JSON may have {MAX_VALUES:,} values", code="too_many_values")
    try:
        data = _decode(body)
    except RecursionError:
        raise NotJson(f"JSON may nest {MAX_DEPTH} deep", code="too_deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(f"not JSON: {error}") from None
    if deeper_than(body, MAX_DEPTH):
        raise NotJson(f"JSON may nest {MAX_DEPTH} deep", code="too_deep")
    if has_nul(body):
        raise NotJson("text may not contain NUL", code="nul")
    return data


def check_json_type(content_type: str) -> None:
    """Raise `UnsupportedMedia` unless the content type is JSON; a missing one counts as JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMedia(f"the Content-Type should be application/json, not {kind[:100]}")
