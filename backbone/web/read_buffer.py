"""The protocol between the event loop and a connection: all connections of a server read into one small buffer.

By itself the loop would read a quarter of a megabyte for each, before anybody has looked at the first byte.
"""

import asyncio

from backbone.web.connection import Connection

READ = 16_384  # bytes read at once


class SharedReadBuffer(asyncio.BufferedProtocol):
    """Belongs to one connection. asyncio cannot read into a shared buffer for a `Protocol`, which uvicorn's is."""

    def __init__(self, line: Connection, room: memoryview) -> None:
        self._line, self._room = line, room

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection begins."""
        self._line.connection_made(transport)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ends."""
        self._line.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - how asyncio asks
        """The buffer to read into. The next call takes the data out, before anything else is read."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on the bytes that were read."""
        if not self._line.thrown_away(nbytes):
            self._line.data_received(bytes(self._room[:nbytes]))

    def pause_writing(self) -> None:
        """See `Connection`."""
        self._line.pause_writing()

    def resume_writing(self) -> None:
        """See `Connection`."""
        self._line.resume_writing()
