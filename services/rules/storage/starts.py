"""Requests to start rules by hand, until they are decided and answered: a row each, and a row for each partition.

The record in a partition names the request; what it asks stands here, so that nobody else who writes to the log can
start anything. Rows are kept for a day, as answers to an Idempotency-Key are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from backbone.database import insert_new
from services.rules.engine.by_hand import LeftOut, Named, StartAnswer, StartRequest
from services.rules.tables import start_parts, starts

KEPT_US = 24 * 3_600 * 1_000_000

_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(StartAnswer).decode
_subjects = msgspec.json.Decoder(list[Named]).decode
_left_out = msgspec.json.Decoder(list[LeftOut]).decode


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is asked: who is to be started, by partition, and who was left out at once."""

    id: str
    fingerprint: bytes
    rule: str
    matching: bool
    subjects: Mapping[int, Sequence[Named]]
    left_out: Sequence[LeftOut]


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of a request: the answers so far, and the partitions that have not decided yet."""

    fingerprint: bytes
    left_out: list[LeftOut]
    answers: list[StartAnswer]
    waiting: list[int]


def ask(conn: Connection, request: Request, now: int) -> bool:
    """Write a request down, unless there is one of this id; returns whether it was. `now` in microseconds."""
    row = {"id": request.id, "fingerprint": request.fingerprint, "rule": request.rule, "created_at": now}
    row |= {"matching": request.matching, "left_out": _encode(request.left_out)}
    new = insert_new(conn, starts, [row], ["id"]) == 1
    if new and request.subjects:
        parts = [
            {"id": request.id, "partition": partition, "subjects": _encode(subjects)}
            for partition, subjects in request.subjects.items()
        ]
        conn.execute(insert(start_parts), parts)
    return new


def standing(conn: Connection, id: str) -> Standing | None:
    """How far a request has come; None if there is none."""
    row = conn.execute(select(starts).where(starts.c.id == id)).one_or_none()
    if row is None:
        return None
    query = select(start_parts).where(start_parts.c.id == id).order_by(start_parts.c.partition)
    parts = conn.execute(query).all()
    answers = [_answer(part.answer) for part in parts if part.answer is not None]
    waiting = [part.partition for part in parts if part.answer is None]
    return Standing(row.fingerprint, _left_out(row.left_out), answers, waiting)


def request_for(conn: Connection, id: str, partition: int) -> StartRequest | None:
    """What a request asks of a partition that has not decided it yet."""
    row = conn.execute(
        select(starts.c.rule, starts.c.matching, start_parts.c.subjects).where(
            starts.c.id == id,
            start_parts.c.id == starts.c.id,
            start_parts.c.partition == partition,
            start_parts.c.answer.is_(None),
        )
    ).one_or_none()
    return None if row is None else StartRequest(id, row.rule, _subjects(row.subjects), row.matching)


def save_answers(conn: Connection, partition: int, answers: Sequence[StartAnswer]) -> None:
    """What the partition has decided; the first answer stays."""
    for answer in answers:
        mine = (start_parts.c.id == answer.id) & (start_parts.c.partition == partition)
        conn.execute(
            update(start_parts)
            .where(mine, start_parts.c.answer.is_(None))
            .values(answer=_encode(answer), subjects=b"[]")
        )


def prune(conn: Connection, now: int) -> None:
    """Delete requests older than a day. `now` in microseconds."""
    old = select(starts.c.id).where(starts.c.created_at < now - KEPT_US)
    conn.execute(delete(start_parts).where(start_parts.c.id.in_(old)))
    conn.execute(delete(starts).where(starts.c.created_at < now - KEPT_US))
