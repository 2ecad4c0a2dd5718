"""The frames in which jobs and answers travel between the service and a render process: a length, then
that many bytes.

Jobs are JSON, since they hold values of events, which may be whole numbers of any size. Mails, which are text
alone, are MessagePack: escaping their HTML for JSON would take a third of the time of rendering it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.actions.rendering.circuit_breaker import CircuitBreaker
from services.actions.rendering.jobs import Answer, CheckJob, Job, Mail

READY = b"ready"  # the first frame of a process: from here on, its end is that of a job
HEADER = 4  # bytes of a frame's length, big endian
FRAME_JOBS = 64
FRAME_BYTES = 1024 * 1024  # bytes of the jobs after the first: the process needs its memory for rendering


class _Jobs(msgspec.Struct):
    """Jobs, each with the index of its account: many mails share one account, with all of its contacts."""

    accounts: list[Any]
    jobs: list[tuple[int | None, Job]]
    fuses: dict[str, CircuitBreaker] = {}


_MAIL, _OTHER = b"m", b"o"  # the first byte of an answer
_to_json = msgspec.json.Encoder().encode
_jobs = msgspec.json.Decoder(_Jobs).decode
_answer = msgspec.json.Decoder(Answer).decode
_to_msgpack = msgspec.msgpack.Encoder().encode
_mail = msgspec.msgpack.Decoder(Mail).decode


def framed(content: bytes) -> bytes:
    """A frame."""
    return len(content).to_bytes(HEADER, "big") + content


def encode_jobs(jobs: Sequence[Job], fuses: Mapping[str, CircuitBreaker] | None = None) -> tuple[bytes, int]:
    """Encode as many jobs as fit into one frame, with what is known of templates. Returns the frame and how
    many jobs it holds."""
    taken: list[tuple[int | None, msgspec.Raw]] = []
    accounts: list[msgspec.Raw] = []
    places: dict[int, int] = {}  # index of each account, by its identity in memory
    size = 0
    for job in jobs[:FRAME_JOBS]:
        account, rest = _apart(job)
        raw = _to_json(rest)
        new = account is not None and id(account) not in places
        known = _to_json(account) if new else b""
        size += (len(raw) + len(known)) if taken else 0
        if size > FRAME_BYTES:
            break
        if new:
            places[id(account)] = len(accounts)
            accounts.append(msgspec.Raw(known))
        taken.append((places.get(id(account)), msgspec.Raw(raw)))
    return _to_json({"accounts": accounts, "jobs": taken, "fuses": fuses or {}}), len(taken)


def _apart(job: Job) -> tuple[Any, Job]:
    """The account that a job knows, and the job without it."""
    if isinstance(job, CheckJob) or job.context.get("account") is None:
        return None, job
    context = dict(job.context)
    account = context.pop("account")
    return account, msgspec.structs.replace(job, context=context)


def decode_jobs(content: bytes) -> tuple[list[Job], dict[str, CircuitBreaker]]:
    """The jobs in a frame, and what is known of templates."""
    frame = _jobs(content)
    for place, job in frame.jobs:
        if place is not None and not isinstance(job, CheckJob):
            job.context["account"] = frame.accounts[place]
    return [job for _, job in frame.jobs], frame.fuses


def encode_answer(answer: Answer) -> bytes:
    """An answer, for a frame of its own."""
    return _MAIL + _to_msgpack(answer) if isinstance(answer, Mail) else _OTHER + _to_json(answer)


def decode_answer(content: bytes | bytearray) -> Answer:
    """The answer in a frame."""
    return _mail(content[1:]) if content[:1] == _MAIL else _answer(content[1:])
