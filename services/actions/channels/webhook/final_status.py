"""The status of a response, even where aiohttp rejects the response as a whole.

The status decides what becomes of a webhook. aiohttp rejects a response with a malformed chunk, or with a hundred and
fifty headers, even though the receiver has done its work and said so. If the webhook were sent again, the receiver
would do the work twice. So this module reads the bytes of each response itself, up to the end of the status line.
"""

import re

from aiohttp.client_proto import ResponseHandler

_MOST_BYTES = 4_096  # bytes of a status line and the interim responses (1xx) before it, at most
_STATUS = re.compile(rb"HTTP/\d\.\d ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_END = re.compile(rb"\r?\n\r?\n")


class FinalStatus:
    """The status of the response to a request, by the first bytes of it."""

    __slots__ = ("_head",)

    def __init__(self) -> None:
        self._head = b""

    def hear(self, data: bytes) -> None:
        """More of the response has arrived."""
        if len(self._head) < _MOST_BYTES:
            self._head += data[:_MOST_BYTES]

    def forget(self) -> None:
        """Another request follows."""
        self._head = b""

    @property
    def status(self) -> int | None:
        """None until the status line has arrived."""
        return final_status(self._head)


class Handler(ResponseHandler):
    """aiohttp's connection, which reports each response as it arrives.

    Between two requests it takes nothing: aiohttp would keep what comes then as the answer to the next one.
    """

    _answer: FinalStatus | None = None
    _idle = True

    def expect(self, answer: FinalStatus) -> None:
        """A request is about to leave, and this object gets the status of its response."""
        self._answer, self._idle = answer, False
        self.set_response_params(read_until_eof=True, auto_decompress=False)

    def answered(self) -> None:
        """The head of the response has been read: what follows tells nobody a status."""
        self._answer = None

    def rest(self) -> None:
        """The response has been read to its end, and nothing is asked."""
        self._idle = True

    def data_received(self, data: bytes) -> None:
        """Called with bytes of the response."""
        if self._idle and self.transport is not None:
            self.transport.abort()
            return
        if self._answer is not None:
            self._answer.hear(data)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called when the connection is gone. A body that was malformed ends here: aiohttp lets its reader wait."""
        body = self._payload
        super().connection_lost(exc)
        if body is not None and not body.is_eof() and body.exception() is None:
            body.feed_eof()


def final_status(head: bytes) -> int | None:
    """The final status of a response that begins so, skipping interim ones (1xx); None: not known yet."""
    while (line := _STATUS.match(head)) is not None:
        status = int(line[1])
        if status >= 200:
            return status
        end = _END.search(head)
        if end is None:
            return None
        head = head[end.end() :]
    return None
