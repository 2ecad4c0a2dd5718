import gzip
import zlib
from typing import Any

import pytest

from backbone.errors import BadRequest, TooLarge, UnsupportedMedia
from backbone.web.bodies import (
    MAX_BODY,
    MAX_DEPTH,
    MAX_MEMBERS,
    NotJson,
    deeper_than,
    gunzip,
    has_nul,
    parse_json,
    read_body,
)


async def read(chunks: list[bytes], headers: dict[str, str] | None = None) -> tuple[bytes, int]:
    """The body, and how many chunks were asked for."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    scope = {"headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()]}
    body = await read_body(scope, receive)  # type: ignore[arg-type]
    return body, len(chunks) - len(left)


async def test_bodies_in_pieces() -> None:
    assert await read([b"ab", b"", b"c"]) == (b"abc", 3)
    assert await read([b""]) == (b"", 1)


async def test_a_body_just_within_the_limit() -> None:
    assert len((await read([b"x" * MAX_BODY]))[0]) == MAX_BODY


async def test_too_long_by_its_header_is_not_read() -> None:
    with pytest.raises(TooLarge):
        await read([b"x"], {"content-length": str(MAX_BODY + 1)})


async def test_reading_stops_at_the_limit() -> None:
    left = 1_000

    async def receive() -> dict[str, Any]:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    with pytest.raises(TooLarge):
        await read_body({"headers": []}, receive)  # type: ignore[arg-type]
    assert left > 980


async def test_disconnect() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(BadRequest):
        await read_body({"headers": []}, receive)  # type: ignore[arg-type]


async def test_encodings() -> None:
    assert (await read([gzip.compress(b"abc")], {"content-encoding": "gzip"}))[0] == b"abc"
    assert (await read([b"abc"], {"content-encoding": "identity"}))[0] == b"abc"
    with pytest.raises(UnsupportedMedia):
        await read([b"abc"], {"content-encoding": "br"})


def test_gzip_bombs_are_stopped() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        gunzip(bomb)
    with pytest.raises(TooLarge):
        gunzip(gzip.compress(b"x" * 600_000) * 2)
    assert gunzip(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"


def test_gzip_of_very_many_members_is_refused() -> None:
    """52,428 empty ones fit into a body, and kept everybody waiting for more than a second."""
    one = gzip.compress(b"")
    assert gunzip(one * MAX_MEMBERS) == b""
    with pytest.raises(BadRequest, match="500 members"):
        gunzip(one * (MAX_MEMBERS + 1))


@pytest.mark.parametrize(
    "body", [b"", b"abc", gzip.compress(b"abc" * 100, mtime=0)[:-9], zlib.compress(b"abc")]
)
def test_what_is_not_gzip(body: bytes) -> None:
    with pytest.raises(BadRequest):
        gunzip(body)


def test_depth_is_counted_outside_of_strings() -> None:
    assert not deeper_than(b"[" * 32 + b"]" * 32, 32)
    assert deeper_than(b"[" * 33 + b"]" * 33, 32)
    assert not deeper_than(b'["' + b"[" * 100 + b'\\"' + b'"]', 32)
    assert not deeper_than(b"[" + b"{}," * 1000 + b"{}]", 2)
    assert deeper_than(b"[" * 500_000 + b"]" * 500_000, 32)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b"NaN",
        b'{"a": 1,}',
        b"\xff",
        b'"\xff"',
        b'"\\ud800"',
        b"1" * 10_000,
        b"1" * 1_000_000,
        b"1e999",
        b'"\\u0000"',
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 500_000,
        b"[" * 400_000 + b"]" * 400_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_refused_as_json(body: bytes) -> None:
    with pytest.raises(NotJson):
        parse_json(body)


def test_what_is_read_as_json() -> None:
    assert parse_json(b' {"a": [1, 2.5, null, true, "\\u00e9"]} ') == {"a": [1, 2.5, None, True, "é"]}
    assert parse_json(b'"\\\\u0000"') == "\\u0000"
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert not has_nul(b'"\\\\u0000"')
    assert has_nul(b'"\\\\\\u0000"')


def test_json_has_a_number_of_values() -> None:
    assert len(parse_json(b"[" + b"1," * 20_000 + b"1]")) == 20_001
    assert parse_json(b'["' + b"," * 50_000 + b'"]') == ["," * 50_000]  # in a text they are no values
    with pytest.raises(NotJson, match="20,000 values") as refused:
        parse_json(b"[" + b"1," * 20_001 + b"1]")
    assert refused.value.code == "too_many_values"
