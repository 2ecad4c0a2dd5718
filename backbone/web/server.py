"""The HTTP server: uvicorn, with connections whose limits it does not have itself (`backbone/web/connection.py`)."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from backbone.errors import ConfigurationError
from backbone.settings import Settings
from backbone.web.connection import Connection, Deadlines
from backbone.web.connection_limit import ConnectionLimit, room_for_connections
from backbone.web.read_buffer import READ, SharedReadBuffer

KEEP_ALIVE_S = 15
GRACE_S = 5  # seconds for requests under way when the server stops
SEND_BUFFER = 65_536  # bytes of an answer that the system keeps for a client (it doubles the number)


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises `ConfigurationError` if the address is not available."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # connections inherit it
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


def make_server(app: ASGIApp, settings: Settings, *, gateway: bool = False) -> uvicorn.Server:
    """A server for this app; it does not run yet. `gateway`: see `run`."""
    config = uvicorn.Config(
        app,
        http=_lines(settings, files=2 if gateway else 1),  # type: ignore[arg-type]  # whatever makes a protocol will do
        ws="none",
        lifespan="on" if gateway else "off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # connections do that: see backbone/web/trusted_proxies.py
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)


def _lines(settings: Settings, files: int) -> Callable[..., SharedReadBuffer]:
    patience = Deadlines(settings.header_timeout, settings.body_timeout, settings.write_timeout)
    crowd = ConnectionLimit(room_for_connections(files))
    proxies = settings.trusted_proxies
    room = memoryview(bytearray(READ))  # each server has its own event loop and thread

    def connect(_loop: Any = None, **uvicorn: Any) -> SharedReadBuffer:
        return SharedReadBuffer(Connection(patience, crowd, proxies, _loop=_loop, **uvicorn), room)

    return connect


def run(app: ASGIApp, settings: Settings, listener: socket.socket, *, gateway: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, then finish the requests under way. Call it in the main thread.

    `gateway`: the app opens a connection for each that it serves, and closes them when it is told of the end (ASGI's
    lifespan).
    """
    with _signals_end_quietly():
        make_server(app, settings, gateway=gateway).run(sockets=[listener])


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """uvicorn raises the signal that stopped it again, when it has already done its work; ignore that."""

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
    """A server in its own thread, for tests and the demo."""

    def __init__(self, app: ASGIApp, settings: Settings, *, gateway: bool = False) -> None:
        self._listener = bind(settings)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{settings.host}:{self.port}"
        self._server = make_server(app, settings, gateway=gateway)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def start(self) -> None:
        """Start; from now on connections are queued."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests under way and stop."""
        self._server.should_exit = True
        self._thread.join(GRACE_S + 5)
        self._listener.close()
