"""The rehearsals that are kept hold what their triggers say of accounts, and mails as they would go out."""

import msgspec
from sqlalchemy import Connection, LargeBinary, delete, func, literal, select

from backbone.tables import job_parts, jobs

KIND = "rehearsal"
_encode = msgspec.msgpack.Encoder().encode


def forget(conn: Connection, account: str) -> None:
    """Forget every rehearsal with a trigger of an account; one that runs is cancelled by that."""
    # A body is MessagePack, in which each trigger says whose it is by these bytes.
    named = literal(_encode("account") + _encode(account), LargeBinary)
    place = func.instr if conn.dialect.name == "sqlite" else func.pg_catalog.position
    query = select(jobs.c.id).where(jobs.c.kind == KIND, place(jobs.c.body, named) > 0)
    gone = list(conn.scalars(query))
    if gone:
        conn.execute(delete(job_parts).where(job_parts.c.job.in_(gone)))
        conn.execute(delete(jobs).where(jobs.c.id.in_(gone)))
