"""How jobs and answers travel between the service and a rendering process: frames of a length and what it counts.

JSON, since values of events stand in them, which may be whole numbers of any size; but mails, which are text alone,
as MessagePack: JSON would take a third as long for the escapes in their HTML as making it does.
"""

from collections.abc import Sequence

import msgspec

from services.actions.rendering.model import Answer, Job, Mail

HEADER = 4  # bytes of a frame's length, big endian
FRAME_JOBS = 64
FRAME_BYTES = 1024 * 1024  # of jobs, but for the first: the process has its memory for rendering

_MAIL, _OTHER = b"m", b"o"  # the first byte of an answer
_to_json = msgspec.json.Encoder().encode
_jobs = msgspec.json.Decoder(list[Job]).decode
_answer = msgspec.json.Decoder(Answer).decode
_to_msgpack = msgspec.msgpack.Encoder().encode
_mail = msgspec.msgpack.Decoder(Mail).decode


def framed(content: bytes) -> bytes:
    """A frame."""
    return len(content).to_bytes(HEADER, "big") + content


def encode_jobs(jobs: Sequence[Job]) -> tuple[bytes, int]:
    """The first of the jobs, and how many of them that is: as many as go into one frame."""
    taken: list[msgspec.Raw] = []
    size = 0
    for job in jobs[:FRAME_JOBS]:
        raw = _to_json(job)
        size += len(raw)
        if taken and size > FRAME_BYTES:
            break
        taken.append(msgspec.Raw(raw))
    return _to_json(taken), len(taken)


def decode_jobs(content: bytes) -> list[Job]:
    """The jobs in a frame."""
    return _jobs(content)


def encode_answer(answer: Answer) -> bytes:
    """An answer, for a frame of its own."""
    return _MAIL + _to_msgpack(answer) if isinstance(answer, Mail) else _OTHER + _to_json(answer)


def decode_answer(content: bytes | bytearray) -> Answer:
    """The answer in a frame."""
    return _mail(content[1:]) if content[:1] == _MAIL else _answer(content[1:])
