"""The HTTP server: uvicorn, with limits on headers, connections and patience that it does not have by itself."""

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from backbone.errors import ConfigurationError
from backbone.gate import problem
from backbone.settings import Settings

MAX_HEADERS = 65_536  # bytes of address and headers of one request, trailers included
MAX_CONNECTIONS = 2_000
KEEP_ALIVE_S = 15
GRACE_S = 5  # for requests under way when the server stops


class _TooMuchHeader(Exception):
    """Raised inside the parser to stop it."""


class Protocol(HttpToolsProtocol):
    """uvicorn's, but headers have to arrive in time, within a size, on a limited number of connections."""

    header_timeout = 10.0  # seconds; set from the settings
    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse what is beyond the number of connections."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(503, "too_many_connections", "Too many connections")
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A new request on this connection."""
        super().on_message_begin()
        self._header_bytes = 0
        self._start_timer()

    def on_url(self, url: bytes) -> None:
        """Count its bytes."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count its bytes."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers came in time."""
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser could not read; it may have been stopped by `_count`."""
        if self._header_bytes > MAX_HEADERS:
            self._refuse(431, "headers_too_large", f"address and headers may have {MAX_HEADERS:,} bytes")
        else:
            self._refuse(400, "bad_request", msg)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADERS:
            raise _TooMuchHeader

    def _start_timer(self) -> None:
        self._stop_timer()
        self._deadline = self.loop.call_later(self.header_timeout, self._late)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._refuse(408, "timeout", "the headers did not arrive in time")

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self.transport.is_closing():
            return
        answer = problem(status, code, message)
        lines = [f"HTTP/1.1 {status} {message}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.close()


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises `ConfigurationError` if the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        place = f"{settings.host}:{settings.port}"
        raise ConfigurationError(f"cannot listen on {place}: {error.strerror or error}") from None
    listener.setblocking(False)
    return listener


def make_server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """A server for this app, not running yet."""
    patient = type("PatientProtocol", (Protocol,), {"header_timeout": settings.header_timeout})
    config = uvicorn.Config(
        app,
        http=patient,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)


def run(app: FastAPI, settings: Settings, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then finish the requests under way. For the main thread."""
    with _signals_end_quietly():
        make_server(app, settings).run(sockets=[listener])


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """uvicorn raises the signal that stopped it once more; by then it has done its work."""

    def ignore(_number: int, _frame: FrameType | None) -> None:
        pass

    before: dict[int, Any] = {
        number: signal.signal(number, ignore) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ThreadedServer:
    """A server in a thread of its own, for tests and the demo."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._listener = bind(settings)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{settings.host}:{self.port}"
        self._server = make_server(app, settings)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def start(self) -> None:
        """Start; connections are queued from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests under way and stop."""
        self._server.should_exit = True
        self._thread.join(GRACE_S + 5)
        self._listener.close()
