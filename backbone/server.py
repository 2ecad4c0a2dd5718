"""The HTTP server: uvicorn, with limits on headers, connections and patience that it does not have by itself."""

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from backbone.bodies import MAX_BODY
from backbone.errors import ConfigurationError
from backbone.gate import problem
from backbone.settings import Settings

MAX_HEADERS = 65_536  # bytes of address and headers of one request
MAX_RAW_BODY = 16 * MAX_BODY  # bytes of a body on the wire: chunks have headers, and there may be trailers
MAX_CONNECTIONS = 2_000
KEEP_ALIVE_S = 15
GRACE_S = 5  # for requests under way when the server stops
_IDLE, _HEADERS, _BODY = range(3)


class Protocol(HttpToolsProtocol):
    """uvicorn's, but requests have to arrive in time and within a size, on a limited number of connections."""

    header_timeout = body_timeout = 10.0  # seconds; set from the settings
    _deadline: asyncio.TimerHandle | None = None
    _phase = _IDLE
    _received = 0  # bytes in this phase

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
        self._phase, self._received = _HEADERS, 0

    def on_headers_complete(self) -> None:
        """The headers are whole."""
        self._phase, self._received = _BODY, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._phase, self._received = _IDLE, 0
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Count and time what belongs to one request: the parser keeps headers of any length, for ever."""
        before = self._phase
        super().data_received(data)
        if self._phase == _IDLE or self._phase != before:
            self._stop_timer()
        if self._phase == _IDLE:
            return
        if self._deadline is None:
            self._start_timer()
        self._received += len(data)
        if self._phase == _HEADERS and self._received > MAX_HEADERS:
            self._refuse(431, "headers_too_large", f"address and headers may have {MAX_HEADERS:,} bytes")
        elif self._phase == _BODY and self._received > MAX_RAW_BODY:
            self.transport.close()  # its answer, 413, was given long ago

    def send_400_response(self, msg: str) -> None:
        """What the parser could not read."""
        self._refuse(400, "bad_request", msg)

    def _start_timer(self) -> None:
        seconds = self.body_timeout if self._phase == _BODY else self.header_timeout
        self._deadline = self.loop.call_later(seconds, self._late)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        what = "body" if self._phase == _BODY else "headers"
        self._refuse(408, "timeout", f"the {what} did not arrive in time")

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self.transport.is_closing():
            return
        answer = problem(status, code, HTTPStatus(status).phrase, message)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), b"connection: close"]
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
        raise ConfigurationError(
            f"cannot listen on {place}: {error.strerror or error}; TOUCHLINE_HOST and TOUCHLINE_PORT choose another"
        ) from None
    listener.setblocking(False)
    return listener


def make_server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """A server for this app, not running yet."""
    limits = {"header_timeout": settings.header_timeout, "body_timeout": settings.body_timeout}
    patient = type("PatientProtocol", (Protocol,), limits)
    config = uvicorn.Config(
        app,
        http=patient,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks who the client is, or by which address it came
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
