"""What a job's process tells its worker: frames of MessagePack, each behind its length in four bytes."""

import msgspec

HEADER = 4


class Progress(msgspec.Struct, tag=True):
    """How much is done, 0 to 1."""

    share: float


class Part(msgspec.Struct, tag=True):
    """The next part of a long result: `count` items of a series, encoded as the job likes."""

    series: str
    count: int
    body: bytes


class Done(msgspec.Struct, tag=True):
    """The job is done; `body` is its result as a JSON object."""

    body: bytes


class Failed(msgspec.Struct, tag=True):
    """The job cannot be done."""

    message: str


Message = Progress | Part | Done | Failed
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def framed(message: Message) -> bytes:
    """The message as a frame."""
    body = _encode(message)
    return len(body).to_bytes(HEADER, "big") + body


class Frames:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with these bytes."""
        self._buffer += data
        found: list[Message] = []
        while len(self._buffer) >= HEADER:
            end = HEADER + int.from_bytes(self._buffer[:HEADER], "big")
            if len(self._buffer) < end:
                break
            found.append(_decode(bytes(self._buffer[HEADER:end])))
            del self._buffer[:end]
        return found
