"""A client cheap enough to leave the server the bottleneck: prepared requests on kept-alive connections."""

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import uvloop


class Line(asyncio.Protocol):
    """One connection with one request under way. It reads only the status and the length of an answer."""

    def __init__(self) -> None:
        self._data = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Give the answer to its caller once it is complete."""
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or self._answer is None:
            return
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self._data = b""
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    async def ask(self, request: bytes) -> int:
        """The status of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


def post(path: str, body: bytes, key: str) -> bytes:
    """The bytes of a request with an API key."""
    return post_with(path, body, f"authorization: Bearer {key}")


def post_with(path: str, body: bytes, header: str) -> bytes:
    """The bytes of a request with a header of its own."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"{header}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connect(port: int) -> Line:
    """A connection."""
    _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
    return line


def rate(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> float:
    """Requests a second that were answered 200 or 202; anything else is an error."""
    return uvloop.run(_rate(port, requests, connections, seconds))


async def _rate(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> float:
    lines = [await connect(port) for _ in range(connections)]
    started = time.perf_counter()
    counts = await asyncio.gather(
        *(_ask_on(line, requests[n::connections], started + seconds) for n, line in enumerate(lines))
    )
    taken = time.perf_counter() - started
    for line in lines:
        line.close()
    return sum(counts) / taken


async def _ask_on(line: Line, requests: Sequence[bytes], until: float) -> int:
    done = 0
    while time.perf_counter() < until:
        status = await line.ask(requests[done % len(requests)])
        if status not in (200, 202):
            raise RuntimeError(f"answered {status}")
        done += 1
    return done
