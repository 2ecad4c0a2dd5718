"""One connection of the HTTP server: uvicorn's, with limits on everything that a client can make us keep or wait for.

What the client sends is limited in bytes *and* in items (header lines, trailers, chunks, requests sent ahead),
since an item of three bytes costs us hundreds. A body is read only once somebody asks for it. An answer is made
only as fast as the client takes it in: it goes out in pieces, the next one once the last is gone. And everything
has a deadline.
"""

import asyncio
import socket
import struct
from functools import partial
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from backbone.web.bodies import MAX_BODY
from backbone.web.connection_limit import ConnectionLimit, neighbourhood
from backbone.web.streaming import PIECE, early, pieces, whole
from backbone.web.trusted_proxies import Networks, comes_from, seen_through

MAX_HEADERS = 32_768  # bytes of the address and headers of one request
MAX_HEADER_LINES = 100
MAX_TRAILERS = 32  # lines after a chunked body; nothing reads them
MAX_CHUNKS = 20_000  # of a body: some 50 bytes each in a body of the maximum size
MAX_FRAMING = 262_144  # bytes of a body that are not content: chunk sizes, chunk extensions, trailers
MAX_AHEAD = 1  # requests sent before the previous one was answered
# Bytes that a trusted proxy may have on the way when it hears that a body is refused.
MAX_DROPPED = 64 * 1_048_576
LINGER_S = 2.0  # how long an answer given before the end of its request's body can be read
_IDLE, _HEADERS, _BODY = range(3)
_AT_ONCE = struct.pack("ii", 1, 0)


class Deadlines(NamedTuple):
    """Seconds for the headers to arrive, for a body to arrive, and for the client to take in a piece of an answer."""

    headers: float = 10.0
    body: float = 20.0
    writing: float = 20.0


class ProtocolFault(Exception):
    """Raised in the parser's callbacks; becomes the answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = (status, code, message)


class Connection(HttpToolsProtocol):
    """A connection. Belongs to the event loop."""

    def __init__(
        self, patience: Deadlines, crowd: ConnectionLimit, proxies: Networks, **uvicorn: Any
    ) -> None:
        super().__init__(**uvicorn)
        self._patience, self._crowd, self._proxies = patience, crowd, proxies
        self.address = ""  # of the client; of a trusted proxy's, while there is a request of theirs
        self._phase = _IDLE
        self._received = self._content = 0  # bytes in this phase; and those of them that are body content
        self._items = self._chunks = 0  # header lines or trailers in this phase; chunks
        self._asked = False  # somebody wants the incoming body, if only to throw it away
        self._deaf = False  # everything that still arrives is thrown away
        self._cut = False  # the answer came before the end of the body
        self._ended = False  # nothing more is sent
        self._is_proxy = False
        self._fault: ProtocolFault | None = None
        self._why = "idle"  # why it closes, if nothing else happens
        self._since = 0.0  # when we began to wait for the client
        self._timer: asyncio.TimerHandle | None = None  # for what the client sends
        self._stall: asyncio.TimerHandle | None = None  # for the client to take in what we send
        self._answered = 0

    # ── from the transport ──

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse connections beyond the limit."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=PIECE, low=0)
        self.address = neighbourhood(self.client[0]) if self.client else ""
        self._is_proxy = self.client is not None and comes_from(self.client[0], self._proxies)
        self._wait(self._patience.headers)
        if not self._crowd.admit(self, self.connections):  # type: ignore[type-var]
            transport.write(whole(503, "too_many_connections", "Too many connections"))
            self._hang_up("too_many_connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._stop_waiting()
        self._stop_stall()
        super().connection_lost(exc)

    def thrown_away(self, size: int) -> bool:
        """Whether these incoming bytes are to be ignored."""
        if self._deaf:
            self._received += size
            if self._received > (MAX_DROPPED if self._is_proxy else MAX_BODY):
                self._hang_up(self._why)
        return self._deaf or self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """Parse, count and time the data; the parser alone would keep data of any length for ever."""
        before = self._phase
        super().data_received(data)
        if self._deaf or self.transport.is_closing():
            return
        if self._phase == before:
            self._received += len(data)
        if self._phase == _BODY:
            if self._received - self._content > MAX_FRAMING:
                self._refuse(413, "too_large", f"the framing of a body may have {MAX_FRAMING:,} bytes")
            elif not self._asked:
                self.flow.pause_reading()
        elif self._received > MAX_HEADERS:
            self._refuse(431, "headers_too_large", f"address and headers may have {MAX_HEADERS:,} bytes")
        elif self._timer is None and not (self._phase == _IDLE and self._at_work):
            self._wait(self._patience.headers)

    def pause_writing(self) -> None:
        """The client is not taking in its answer."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client takes in its answer again."""
        self._stop_stall()
        super().resume_writing()

    # ── from the parser ──

    def on_message_begin(self) -> None:
        """A new request on this connection."""
        if len(self.pipeline) >= MAX_AHEAD:
            self._fault = ProtocolFault(
                429, "too_many_ahead", "too many requests were sent ahead of their answers"
            )
            raise self._fault
        super().on_message_begin()
        self._phase, self._received, self._items = _HEADERS, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line, or a trailer after a body."""
        self._items += 1
        if self._phase == _BODY:
            if self._items > MAX_TRAILERS:
                self._fail(431, "trailers_too_large", f"a body may have {MAX_TRAILERS} trailers")
        elif self._items > MAX_HEADER_LINES:
            self._fail(431, "headers_too_large", f"a request may have {MAX_HEADER_LINES} header lines")
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are complete."""
        self._stop_waiting()
        self._asked = False
        super().on_headers_complete()
        self._phase, self._received, self._content, self._items, self._chunks = _BODY, 0, 0, 0, 0

    def on_chunk_header(self) -> None:
        """The beginning of a chunk."""
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            self._fail(413, "too_many_chunks", f"a body may come in {MAX_CHUNKS:,} chunks")

    def on_body(self, body: bytes) -> None:
        """Content of the body."""
        self._content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._stop_waiting()
        self._phase, self._received = _IDLE, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not read, or what a callback above has refused."""
        self._refuse(*(self._fault.answer if self._fault else (400, "bad_request", msg)))

    # ── from the application ──

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, partial(self._serve, cycle, app))

    async def _serve(
        self, cycle: RequestResponseCycle, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the application. Then the rest of its answer waits for the client without the application's memory."""
        rest: list[Message] = []
        if self._is_proxy:
            scope = seen_through(scope, self._proxies)
            self.address = neighbourhood(scope["client"][0]) if scope["client"] else ""

        async def ask() -> Message:
            if cycle is self.cycle:
                self._want_body()
            return await receive()

        async def give(message: Message) -> None:
            begins = message["type"] == "http.response.start"
            if begins and cycle is self.cycle and self._phase == _BODY:
                self._cut, message = True, early(message)
            if not begins and not message.get("more_body", False):
                rest.append(message)
                return
            for piece in pieces(message):
                await self._send(cycle, piece, send)
            if begins and self._cut:
                cycle.keep_alive = True  # keeps uvicorn from closing at once; see `_end`

        await app(scope, ask, give)
        del app, scope
        for message in rest:
            for piece in pieces(message):
                await self._send(cycle, piece, send)

    async def _send(self, cycle: RequestResponseCycle, piece: Message, send: Send) -> None:
        if self.flow.write_paused:
            await self.flow.drain()
        if self._ended or self.transport.is_closing():
            cycle.disconnected = True  # uvicorn tells only the newest request
            return
        await send(piece)

    def on_response_complete(self) -> None:
        """An answer has been handed to the transport, perhaps before its request was complete."""
        super().on_response_complete()
        self._answered += 1
        self._since = self.loop.time()
        self.address = neighbourhood(self.client[0]) if self.client else ""
        if self.cycle.response_complete:
            self.cycle.body = bytearray()
            if self._cut:
                self._end("early_answer")
        if self.transport.get_write_buffer_size() and self._stall is None:
            self._watch_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing has arrived for a while."""
        self._hang_up("idle")

    # ── ends ──

    @property
    def silent_since(self) -> float | None:
        """See `ConnectionLimit`."""
        waits = self._ended or self._stall is not None or (self._phase == _BODY and self._asked)
        return self._since if waits or not self._at_work else None

    def evict(self) -> None:
        """Make room for others: reset the connection, or the system would keep our data until the client reads it."""
        line = self.transport.get_extra_info("socket")
        if line is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    @property
    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _fail(self, status: int, code: str, message: str) -> None:
        self._fault = ProtocolFault(status, code, message)
        raise self._fault

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer and close; if earlier requests are still to be answered, close after that without an answer."""
        if self.transport.is_closing():
            return
        self._deaf = True
        self._stop_waiting()
        if not self._at_work:
            self._end(code, whole(status, code, message))
        elif self._phase != _BODY:
            # this was the last complete request; the connection ends after its answer
            self.cycle.keep_alive = False
        elif self.pipeline or self.cycle.response_started:
            self._hang_up(code)
        else:
            self._end(code, whole(status, code, message))

    def _hang_up(self, why: str) -> None:
        """Close once the client has taken in everything, if it does so soon."""
        if self.transport.is_closing():
            return
        self._crowd.closed(why, self.connections)
        self._deaf = True
        self._stop_waiting()
        self.transport.close()
        if self.transport.get_write_buffer_size() and self._stall is None:
            self._watch_writing()

    def _end(self, why: str, answer: bytes = b"") -> None:
        """Send nothing after this answer, and close soon.

        A client that is still sending would not see the answer if we closed at once: the system would reset the
        connection.
        """
        self._deaf = self._ended = True
        self._why, self._received = why, 0
        if self._at_work:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.flow.resume_reading()
        self.transport.write(answer)
        self.transport.write_eof()
        self._wait(LINGER_S)

    # ── patience ──

    def _want_body(self) -> None:
        if self._phase == _BODY and not self._asked:
            self._asked = True
            self._wait(self._patience.body)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._since = self.loop.time()
        self._timer = self.loop.call_later(seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self._deaf or (self._phase == _IDLE and self.cycle is not None):
            self._hang_up(self._why)
            return
        what = "body" if self._phase == _BODY else "headers"
        self._refuse(408, "timeout", f"the {what} did not arrive in time")

    def _watch_writing(self) -> None:
        self._stop_stall()
        self._since = self.loop.time()
        self._stall = self.loop.call_later(self._patience.writing, self._stalled, self._answered)

    def _stop_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _stalled(self, answered: int) -> None:
        self._stall = None
        if not self.transport.get_write_buffer_size():
            return
        if answered != self._answered and not self.transport.is_closing():
            self._watch_writing()  # the buffer holds the rest of another answer
            return
        self._crowd.closed("not_read", self.connections)
        self.evict()
