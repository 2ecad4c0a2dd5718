"""Connections to machines that are not ours. Each carries one request at a time, and its answer.

aiohttp looks up names, connects, keeps connections and reads answers. The request is written here, in one piece and
once. A client session of aiohttp's takes twice the time, and where a kept connection breaks it sends a PUT again by
itself: a repeat that no attempt would show (docs/decisions/0054).
"""

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from services.actions.channels.webhook.answer import read
from services.actions.channels.webhook.final_status import FinalStatus, Handler
from services.actions.channels.webhook.request import Request
from services.actions.channels.webhook.ssrf import AddressGuard

KEEP_S = 3.0  # an idle connection is not used later: many servers hang up after five seconds
NAMES_AT_ONCE = 256  # many, so that a name server that hangs does not hold up other look-ups
KNOWN = 1_024  # addresses whose parts are remembered
SCHEMES = ("http", "https")
SWITCHING_PROTOCOLS = 101
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)  # callers have deadlines of their own


class Resolver(AbstractResolver):
    """Resolves names to addresses. If one of a name's addresses is not allowed, the name is refused."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._threads = ThreadPoolExecutor(NAMES_AT_ONCE, thread_name_prefix="webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses from the system's resolver, in its order."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, family=family)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        for _, _, _, _, place in found:
            self._guard.check(str(place[0]))
        return [
            ResolveResult(
                hostname=host, host=str(place[0]), port=port, family=kind, proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, place in found
        ]  # fmt: skip

    async def close(self) -> None:
        """Shut the threads down; one that still waits for a name server ends when the answer or its timeout comes."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Answer:
    """An answer whose head is there. Call `body` once: it reads the rest, and gives the connection back."""

    __slots__ = ("_connection", "_content", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        content: aiohttp.StreamReader,
        connection: aiohttp.connector.Connection,
    ) -> None:
        self.status, self.headers = status, headers
        self._content, self._connection = content, connection

    async def body(self) -> bytes:
        """The body, as far as it is read. If that is not all of it, the connection is not used again."""
        try:
            return await read(self._content)
        finally:
            protocol, transport = self._connection.protocol, self._connection.transport
            if (
                not isinstance(protocol, Handler)
                or transport is None
                or protocol.should_close
                or transport.get_write_buffer_size()  # it has answered before it had the whole request
            ):
                _break(self._connection)
            else:
                protocol.rest()
                self._connection.release()


def _break(connection: aiohttp.connector.Connection) -> None:
    """Close a connection at once.

    `close` alone waits until the other side has read what is unsent, which may be never; a loop of uvloop's with such a
    connection does not even end.
    """
    transport = connection.transport
    if transport is not None:
        transport.abort()
    connection.close()


class _Address:
    """What is known of an address before it is looked up. `machine` is what aiohttp tells its connections apart by."""

    __slots__ = ("host", "machine", "path")

    def __init__(self, text: str, loop: asyncio.AbstractEventLoop) -> None:
        try:
            url = URL(text)
        except ValueError as error:
            raise aiohttp.InvalidURL(text) from error
        if not url.raw_host or url.scheme not in SCHEMES:
            raise aiohttp.InvalidURL(text)
        self.machine = aiohttp.ClientRequest("POST", url, loop=loop)
        self.host = self.machine.headers["Host"]
        self.path = url.raw_path_qs


class Connections:
    """The connections of a process. Belongs to one event loop."""

    def __init__(self, guard: AddressGuard) -> None:
        loop = asyncio.get_running_loop()
        self._resolver = Resolver(guard)
        self._connector = aiohttp.TCPConnector(
            resolver=self._resolver, socket_factory=guard.socket, limit=0, keepalive_timeout=KEEP_S
        )
        self._connector._factory = partial(Handler, loop=loop)  # type: ignore[assignment]  # noqa: SLF001
        self._address = lru_cache(KNOWN)(partial(_Address, loop=loop))

    async def send(self, request: Request, status: FinalStatus) -> Answer:
        """Send a request, and wait for the head of its answer. `status` gets its status as soon as that is there.

        Raises `AddressRefused`, `aiohttp.ClientError`, `OSError`, `ValueError`.
        """
        address = self._address(request.url)
        connection = await self._connector.connect(address.machine, [], _NO_TIMEOUT)
        try:
            protocol, transport = connection.protocol, connection.transport
            if not isinstance(protocol, Handler) or transport is None:
                raise aiohttp.ClientConnectionResetError("the connection broke at once")
            protocol.expect(status)
            transport.write(_written(request, address))
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != SWITCHING_PROTOCOLS:
                message, content = await protocol.read()
        except BaseException as error:
            _break(connection)
            if isinstance(error, HttpProcessingError):  # its words quote the answer, which may hold secrets
                raise aiohttp.ClientPayloadError("the answer is not HTTP") from error
            if isinstance(error, aiohttp.ServerDisconnectedError):  # likewise
                raise aiohttp.ServerDisconnectedError from error
            raise
        protocol.answered()
        return Answer(message.code, message.headers, content, connection)

    async def close(self) -> None:
        """Close them."""
        await self._connector.close()
        await self._resolver.close()  # aiohttp closes none but its own


def _written(request: Request, address: _Address) -> bytes:
    """The request as it goes over the wire. Raises `ValueError`."""
    lines = [
        f"{request.method} {address.path} HTTP/1.1",
        f"Host: {address.host}",
        *[f"{name}: {value}" for name, value in request.headers.items()],
        f"Content-Length: {len(request.body)}",
    ]
    head = "\n".join(lines)
    if head.count("\n") >= len(lines) or "\r" in head or "\0" in head:
        raise ValueError("a header must not hold a line break")
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + request.body
