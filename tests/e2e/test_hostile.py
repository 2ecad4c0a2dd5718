"""Requests that mean harm, over real sockets: each gets its 4xx, and costs the server next to no memory."""

import contextlib
import gzip
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.server import Server

MIB = 1024  # kB
ROOM = 20 * MIB
BODY = 1_048_000  # bytes: just within what a request may have
PATIENCE_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With little patience, so that the slow ones need not be waited for."""
    server = Server(tmp_path_factory.mktemp("hostile"), HEADER_TIMEOUT="1", BODY_TIMEOUT="1")
    server.start()
    answer(server, head(server, "/v1/events", length=2) + b"{}")  # what the first request makes is kept
    yield server
    server.stop()


def head(
    server: Server, path: str, *, method: str = "POST", length: int | None = None, more: str = ""
) -> bytes:
    """The head of a request with the admin key."""
    key = (server.folder / "data" / "admin.key").read_text().strip()
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return (
        f"{method} {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\n{framing}\r\n{more}\r\n"
    ).encode()


def answer(server: Server, request: bytes) -> int:
    """The status of the answer; the server may hang up before it has read everything."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as line:
        with contextlib.suppress(ConnectionError):
            line.sendall(request)
        found = b""
        while not re.match(rb"HTTP/1.1 \d+ [^\r]*\r\n", found):
            piece = line.recv(65_536)
            assert piece, f"no answer: {found!r}"
            found += piece
    return int(found[9:12])


def memory(server: Server, name: str) -> int:
    """A figure of the server's memory, in kB."""
    assert server._process is not None
    text = Path(f"/proc/{server._process.pid}/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0])


def forget_peak(server: Server) -> None:
    """From here on the peak counts anew."""
    assert server._process is not None
    Path(f"/proc/{server._process.pid}/clear_refs").write_text("5")


def whole(path: str, body: bytes, *, method: str = "POST", more: str = "") -> Callable[[Server], bytes]:
    """A request with all of its body."""
    return lambda server: head(server, path, method=method, length=len(body), more=more) + body


def many(begin: bytes, item: bytes, end: bytes) -> bytes:
    """As many items as fit."""
    return begin + b",".join([item] * ((BODY - 200) // (len(item) + 1))) + end


EVENT = b'{"type":"a","account":"b","data":%b}'
GZIP = "content-encoding: gzip\r\n"
CASES: dict[str, tuple[Callable[[Server], bytes], set[int]]] = {
    "a body said to be 10 GB": (lambda s: head(s, "/v1/events", length=10**10) + b"[", {413}),
    "a body that does not end": (
        lambda s: head(s, "/v1/events") + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 100, {413}),
    "headers that do not end": (lambda s: head(s, "/v1/events", length=0)[:-2] + b"x-a: b\r\n" * 100_000, {431}),
    "a header of a megabyte": (lambda s: head(s, "/v1/events", length=0)[:-2] + b"x: " + b"a" * 10**6, {431}),
    "half a million brackets": (whole("/v1/events", b"[" * BODY), {400, 422}),
    "data half a million deep": (whole("/v1/events", EVENT % (b"[" * 500_000 + b"]" * 500_000)), {422}),
    "a rule half a million deep": (whole("/v1/rules", b'{"a":' * 170_000 + b"1" + b"}" * 170_000), {400}),
    "501 events": (whole("/v1/events", b"[" + b",".join([EVENT % b"1"] * 501) + b"]"), {413}),
    "half a million numbers for events": (whole("/v1/events", many(b"[", b"1", b"]")), {413}),
    "empty objects for events": (whole("/v1/events", many(b'{"events":[', b"{}", b"]}")), {413}),
    "half a million Segment calls": (whole("/v1/batch", many(b'{"batch":[', b"1", b"]}")), {413}),
    "an event of empty lists": (whole("/v1/events", EVENT % many(b"[", b"[]", b"]")), {422}),
    "a Segment call of empty lists": (
        whole("/v1/identify", many(b'{"userId":"a","traits":{"x":[', b"[]", b"]}}")), {400}),
    "contacts by the hundred thousand": (
        whole("/v1/accounts/a", many(b'{"contacts":[', b"{}", b"]}"), method="PUT"), {400}),
    "unknown fields by the hundred thousand": (
        whole("/v1/rules", b"{" + b",".join(b'"%d":1' % n for n in range(80_000)) + b"}"), {400}),
    "a bomb": (whole("/v1/events", gzip.compress(b"[" + b"1," * 50_000_000), more=GZIP), {413}),
    "a bomb of blanks": (whole("/v1/rules", gzip.compress(b" " * 100_000_000), more=GZIP), {413}),
    "a number of a million digits": (whole("/v1/events", EVENT % (b"9" * (BODY - 50))), {422}),
    "a number of 60,000 digits": (whole("/v1/events", EVENT % (b"9" * 60_000)), {422}),
    "a rule's number of a million digits": (whole("/v1/rules", b'{"name":' + b"9" * (BODY - 50) + b"}"), {400, 422}),
    "a number of 10 million digits": (whole("/v1/events", EVENT % (b"9" * 10_000_000)), {413}),
    "a fraction of a million digits": (whole("/v1/events", EVENT % (b"0." + b"9" * (BODY - 50))), {422}),
    "headers that come slowly": (lambda s: head(s, "/v1/events", length=2)[:-2], {408}),
    "a body that comes slowly": (lambda s: head(s, "/v1/events", length=20) + b"{", {408}),
    "a length of a million digits": (
        lambda s: head(s, "/v1/events", length=1).replace(b"length: 1", b"length: " + b"1" * 60_000), {400, 413, 431}),
}  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads memory from Linux' /proc")
@pytest.mark.parametrize("name", CASES)
def test_harm_is_refused_at_little_cost(server: Server, name: str) -> None:
    request, allowed = CASES[name]
    sent = request(server)
    forget_peak(server)
    before = memory(server, "VmRSS")
    assert answer(server, sent) in allowed
    assert memory(server, "VmHWM") - before <= ROOM
    assert answer(server, head(server, "/healthz", method="GET", length=0)) == 200
