"""What the event loop speaks to: a small room to read into, which all connections of a server share.

Left to itself it reads a quarter of a megabyte of each, before anybody has looked at the first byte.
"""

import asyncio

from backbone.web.connection import Connection

READ = 16_384  # bytes read at once


class SharedReadBuffer(asyncio.BufferedProtocol):
    """Belongs to one connection. asyncio does not let a `Protocol`, which uvicorn's is, be read so."""

    def __init__(self, line: Connection, room: memoryview) -> None:
        self._line, self._room = line, room

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line begins."""
        self._line.connection_made(transport)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """It ends."""
        self._line.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - how asyncio asks
        """Where to read to; what is there is taken out in the next call, before anything else is read."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        if not self._line.thrown_away(nbytes):
            self._line.data_received(bytes(self._room[:nbytes]))

    def pause_writing(self) -> None:
        """See `Connection`."""
        self._line.pause_writing()

    def resume_writing(self) -> None:
        """See `Connection`."""
        self._line.resume_writing()
