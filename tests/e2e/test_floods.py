"""Crowds that mean harm and need no key: others are served all the while, and it costs next to no memory."""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.server import Server
from tests.e2e.test_hostile import MIB, forget_peak, head, memory

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="reads memory from Linux' /proc"
)
CROWD = 2_000  # as many connections as the server holds
WAIT_S = 5.0  # for an answer to somebody else; alone it takes a millisecond
GET = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n"
OTHER = "127.0.0.9"


@pytest.fixture(scope="module", autouse=True)
def _many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(2 * CROWD, before[1])), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("floods"), WRITE_TIMEOUT="3", BODY_TIMEOUT="60", HEADER_TIMEOUT="60"
    )
    server.start()
    served(server)  # what the first request makes is kept
    ask(server, GET % b"/openapi.json")
    yield server
    assert "Traceback" not in (server.folder / "server.log").read_text()
    server.stop()


def ask(server: Server, request: bytes, source: str = OTHER) -> int:
    """The status of the answer to somebody else, who asks from another address."""
    with socket.create_connection(("127.0.0.1", server.port), WAIT_S, source_address=(source, 0)) as line:
        line.sendall(request)
        return int(line.recv(12)[9:])


def served(server: Server, source: str = OTHER) -> bool:
    """Whether others are: whoever asks for a health page, and who sends events."""
    event = b'{"type": "a", "account": "b"}'
    return (
        ask(server, GET % b"/healthz", source) == 200
        and ask(server, head(server, "/v1/events", length=len(event)) + event, source) == 202
    )


@contextlib.contextmanager
def crowd(server: Server, count: int, sent: bytes, room: int | None = None) -> Iterator[list[socket.socket]]:
    """So many connections from one address that have sent this and do nothing more."""
    lines: list[socket.socket] = []
    try:
        for _ in range(count):
            line = socket.socket()
            lines.append(line)
            if room is not None:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            line.settimeout(WAIT_S)
            line.connect(("127.0.0.1", server.port))
            with contextlib.suppress(ConnectionError):  # it may be let go at once
                line.sendall(sent)
        yield lines
    finally:
        for line in lines:
            line.close()


def told(server: Server) -> int:
    """How many lines its log has about connections that it closed."""
    return (server.folder / "server.log").read_text().count("closed connections that waited")


def test_silent_connections_leave_room_for_others(server: Server) -> None:
    with crowd(server, CROWD + 100, b""):
        for source in (OTHER, "127.0.0.1"):
            assert all(served(server, source) for _ in range(5))
    assert told(server) == 1


def test_half_headers_leave_room_for_others(server: Server) -> None:
    forget_peak(server)
    before = memory(server, "VmRSS")
    with crowd(server, CROWD + 100, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 90):
        assert all(served(server) for _ in range(5))
    assert memory(server, "VmHWM") - before <= 64 * MIB


def test_clients_that_never_read(server: Server) -> None:
    forget_peak(server)
    before = memory(server, "VmRSS")
    asked: list[bool] = []
    over = threading.Event()

    def ask_all_the_while() -> None:
        while not over.is_set():
            asked.append(served(server))
            time.sleep(0.05)

    asking = threading.Thread(target=ask_all_the_while)
    asking.start()
    with crowd(server, CROWD + 30, GET % b"/openapi.json" * 8, room=1_024) as lines:
        gone(lines)  # nobody waits for them for ever
    over.set()
    asking.join()
    assert asked
    assert all(asked)
    assert memory(server, "VmHWM") - before <= 64 * MIB
    assert told(server) <= 2  # one a minute


def gone(lines: list[socket.socket]) -> None:
    """Wait until the server has hung up on all of them, without reading what it sent."""
    deadline = time.monotonic() + 60
    left = lines
    while left:
        assert time.monotonic() < deadline, f"{len(left)} connections are still open"
        left = [line for line in left if not hung_up(line)]
        time.sleep(0.1)


def hung_up(line: socket.socket) -> bool:
    """Whether the system knows the connection to be at its end."""
    state = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1  # ESTABLISHED


def test_bodies_without_a_key(server: Server) -> None:
    """More than the machine's own buffers hold, from many at once; each gets its 401."""
    body = b" " * 1_048_575
    sent = head(server, "/v1/events", length=len(body) + 1).replace(b"authorization: Bearer tl_", b"x: y")
    forget_peak(server)
    before = memory(server, "VmRSS")
    with crowd(server, 400, sent + body) as lines:
        assert served(server)
        assert all(line.recv(12) == b"HTTP/1.1 401" for line in lines)
    assert memory(server, "VmHWM") - before <= 64 * MIB


TRAILERS: dict[str, Callable[[Server], bytes]] = {
    "without a key": lambda server: head(server, "/v1/events").replace(b"authorization: ", b"x: "),
    "with a key": lambda server: head(server, "/v1/events"),
    "of a page": lambda server: head(server, "/healthz", method="GET"),
}


@pytest.mark.parametrize("name", TRAILERS)
def test_trailers_by_the_million(server: Server, name: str) -> None:
    sent = TRAILERS[name](server) + b"0\r\n" + b"a:\r\n" * 1_000_000
    forget_peak(server)
    before = memory(server, "VmRSS")
    with crowd(server, 10, sent) as lines:
        assert all(line.recv(10) in {b"HTTP/1.1 4", b"HTTP/1.1 2"} for line in lines)
        assert served(server)
    assert memory(server, "VmHWM") - before <= 20 * MIB
