"""What a receiver answers: read as far as it arrives and no further, and judged by its status."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime

import aiohttp

from services.actions.plays.retry_policy import Outcome

REST_S = 2.0  # for what follows the status
ANSWER_BYTES = 64 * 1024
SHOWN_CHARS = 300
SECOND_US = 1_000_000
AGAIN = frozenset((408, 425, 429))  # like 5xx: not now, but later


async def read(content: aiohttp.StreamReader) -> bytes:
    """The body of an answer, up to the cap; less if it breaks off or is slow."""
    if (
        content.is_eof() and content.exception() is None
    ):  # all of it came with the status, as short answers do
        return content.read_nowait()[:ANSWER_BYTES]
    pieces, size = [], 0
    with suppress(aiohttp.ClientError, OSError, ValueError):  # `TimeoutError` is an `OSError`
        async with asyncio.timeout(REST_S):
            async for piece in content.iter_any():
                pieces.append(piece)
                size += len(piece)
                if size > ANSWER_BYTES:
                    break
    return b"".join(pieces)[:ANSWER_BYTES]


def judged(status: int, headers: Mapping[str, str], answer: bytes, now: int) -> Outcome:
    """The outcome of an answer: 2xx is done; 408, 425, 429 and 5xx may be tried again; all else is final."""
    detail = f"{status} {shown(answer)}".strip()
    if 200 <= status < 300:
        return Outcome(kind="done", detail=detail)
    if status in AGAIN or status >= 500:
        return Outcome(
            kind="temporary", reason="deferred", detail=detail, retry_after=_retry_after(headers, now)
        )
    if 300 <= status < 400:
        return Outcome(kind="permanent", reason="rejected", detail=f"{status}: redirects are not followed")
    return Outcome(kind="permanent", reason="rejected", detail=detail)


def shown(answer: bytes) -> str:
    """The beginning of an answer, for people."""
    if not answer:
        return ""
    text = answer[: SHOWN_CHARS * 4].decode("utf-8", "replace")
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())[:SHOWN_CHARS]


def _retry_after(headers: Mapping[str, str], now: int) -> int | None:
    """Microseconds from now until the time in `Retry-After`, which has seconds or a date (RFC 9110)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), 10**9) * SECOND_US
    try:
        return max(0, round(parsedate_to_datetime(text).timestamp() * SECOND_US) - now)
    except (ValueError, TypeError, OverflowError):
        return None
