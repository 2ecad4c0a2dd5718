"""The sending switch in the database: off means that no attempt at a mail or a webhook begins.

An attempt begins in a transaction that holds the switch's lock together with others like it, and that has seen the
switch on. Turning the switch needs the lock alone. So every beginning is either committed before the turn, or sees it.
SQLite has one writer, and needs no lock.

Due actions wait as `pending`, with the reason `sending_off` and without a lease; `next_attempt_at` stays as it is, so
once sending is on they are due in their order. Retries are counted and not timed, so their schedule stands still by
itself; whoever ends something at a time moves that time by `off_time`. The times within which mails have to be approved
are moved when sending is turned on.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, case, exc, insert, select, text, true, update

from schemas.play_reasons import ActionReason
from services.actions.plays.model import SENDABLE
from services.actions.storage.sql import Sql, listed
from services.actions.storage.status import hold_back
from services.actions.tables import actions, partitions, sending, tasks

LOCK = (0x746F7563, 1)  # "touc", and the switch: the two numbers of an advisory lock
LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE of a lock that did not come in time
PARKED = 5_000  # most actions held back, or told that they wait no more, in one transaction
_WORDS = {
    "sendable": ", ".join(f"'{status}'" for status in SENDABLE),
    "off": ActionReason.SENDING_OFF.value,
    "open": "EXISTS (SELECT 1 FROM actions.actions_attempts t WHERE t.action = a.id AND t.n = a.attempts"
    " AND t.ended_at IS NULL)",
}


class LockBusy(Exception):
    """Somebody keeps the switch's lock: a process that froze in the middle of its transaction."""


class Sending(NamedTuple):
    """The switch as it stands, who turned it last, why and when (microseconds); never turned: it is on."""

    off: bool
    by: str | None = None
    reason: str | None = None
    at: int | None = None


def lock_shared(conn: Connection) -> None:
    """Let no turn of the switch in between until this transaction ends."""
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock_shared(%s, %s)", LOCK)


def lock_alone(conn: Connection, wait_ms: int) -> None:
    """Wait until no beginning is under way, and keep others out until this transaction ends. Raises `LockBusy`."""
    if conn.dialect.name != "postgresql":
        return
    conn.exec_driver_sql(f"SET LOCAL lock_timeout = {int(wait_ms)}")
    try:
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", LOCK)
    except exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise LockBusy from error
        raise
    conn.exec_driver_sql("SET LOCAL lock_timeout = 0")


def end_holders(conn: Connection) -> int:
    """End the connections that keep the switch's lock: what they have not committed never happens."""
    query = text("""
        SELECT count(pg_terminate_backend(pid)) FROM pg_locks
        WHERE locktype = 'advisory' AND classid = :one AND objid = :two AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND pid <> pg_backend_pid()
    """)
    return int(conn.scalar(query, {"one": LOCK[0], "two": LOCK[1]}) or 0)


_is_off = Sql("SELECT 1 FROM actions.actions_sending WHERE on_at IS NULL LIMIT 1")


def is_off(conn: Connection) -> bool:
    """Whether sending is off. It stays so until the transaction ends only under one of the locks."""
    return _is_off.run(conn).first() is not None


def current(conn: Connection) -> Sending:
    """The switch as it stands."""
    row = conn.execute(select(sending).order_by(sending.c.seq.desc()).limit(1)).first()
    if row is None:
        return Sending(off=False)
    if row.on_at is None:
        return Sending(True, row.off_by, row.off_reason, row.off_at)
    return Sending(False, row.on_by, row.on_reason, row.on_at)


def turn(
    conn: Connection, *, off: bool, by: str, reason: str | None, now: int, log_clock: bool = False
) -> bool:
    """Turn the switch, under `lock_alone`; returns whether it stood the other way. If not, a new reason is kept."""
    going_on = sending.c.on_at.is_(None)
    if off and is_off(conn):
        if reason is not None:
            conn.execute(update(sending).where(going_on).values(off_reason=reason))
        return False
    if off:
        clocks = _clocks(conn) if log_clock else None
        conn.execute(insert(sending).values(off_at=now, off_by=by, off_reason=reason, clocks=clocks))
        return True
    ended = conn.execute(select(sending.c.off_at, sending.c.clocks).where(going_on)).first()
    if ended is None:
        return False
    conn.execute(update(sending).where(going_on).values(on_at=now, on_by=by, on_reason=reason))
    if not log_clock:
        _move_approvals(conn, [(ended.off_at, now, true())])
    elif ended.clocks is not None:
        clocks = _clocks(conn)
        here = [(ended.clocks.get(one, 0), clocks[one], actions.c.partition == int(one)) for one in clocks]
        _move_approvals(conn, here)
    return True


def _clocks(conn: Connection) -> dict[str, int]:
    """The clock of each partition."""
    rows = conn.execute(select(partitions.c.partition, partitions.c.clock))
    return {str(row.partition): row.clock for row in rows}


def _move_approvals(conn: Connection, spans: Sequence[tuple[int, int, ColumnElement[bool]]]) -> None:
    """Move the times of approvals, and the due dates of the tasks that ask for them, by as long as sending was off.

    `spans`: since when and until when it was off, by the clock of which partitions.
    """
    awaiting = actions.c.approve_until.is_not(None)
    for since, until, here in spans:
        stood = until - case((actions.c.due_at > since, actions.c.due_at), else_=since)
        mine = (awaiting, here, actions.c.due_at < until)
        if until > since:
            conn.execute(update(actions).where(*mine).values(approve_until=actions.c.approve_until + stood))
    time = select(actions.c.approve_until).where(actions.c.id == tasks.c.id).scalar_subquery()
    asked = (tasks.c.approves, tasks.c.id.in_(select(actions.c.id).where(awaiting)))
    conn.execute(update(tasks).where(*asked).values(due_at=time, due_or_never=time))


def off_time(conn: Connection, since: int, until: int) -> int:
    """For how many microseconds sending was off between two moments: a time that would end something moves by it."""
    spans = conn.execute(select(sending.c.off_at, sending.c.on_at).where(sending.c.off_at < until)).all()
    ends = [(row.off_at, until if row.on_at is None else min(row.on_at, until)) for row in spans]
    return sum(max(0, end - max(begin, since)) for begin, end in ends)


# -- the actions that wait

_NOT_BEGUN = """
    FROM actions.actions_actions a WHERE a.next_attempt_at <= ? AND a.status IN ({sendable}) AND NOT a.attempting
    AND (a.reason IS NULL OR a.reason <> '{off}')
"""
_due = Sql("SELECT a.id" + _NOT_BEGUN + "ORDER BY a.next_attempt_at, a.seq LIMIT ? {lock_free}", **_WORDS)
_leased = Sql("SELECT a.id" + _NOT_BEGUN + "AND a.lease_owner IS NOT NULL {lock_free}", **_WORDS)
_any_leased = Sql("SELECT 1" + _NOT_BEGUN + "AND a.lease_owner IS NOT NULL LIMIT 1", **_WORDS)
_any_begun = Sql(
    """
    SELECT 1 FROM actions.actions_actions a
    WHERE a.next_attempt_at <= ? AND a.attempting AND a.lease_until >= ? AND {open} LIMIT 1
""",
    **_WORDS,
)
_refused = Sql(
    """
    SELECT a.id, {open} AS open FROM actions.actions_actions a
    WHERE a.id {ids} AND a.lease_owner = ? AND a.status IN ({sendable}) {lock}
""",
    **_WORDS,
)
_waiting = Sql(
    """
    SELECT a.id FROM actions.actions_actions a WHERE a.reason = '{off}' AND a.status = 'pending'
    ORDER BY a.seq LIMIT ? {lock_free}
""",
    **_WORDS,
)
_wait_no_more = Sql("UPDATE actions.actions_actions SET reason = NULL WHERE id {ids}")


def park(conn: Connection, now: int, limit: int = PARKED) -> int:
    """Hold back actions that are due, whoever has leased them: that lease is over. Returns how many there were."""
    ids = _due.run(conn, now, limit).scalars().all()
    hold_back(conn, ids)
    return len(ids)


def refuse(conn: Connection, ids: Sequence[str], owner: str) -> list[str]:
    """Hold back actions that their owner was about to begin.

    Returns those for which an attempt stands in the database: its commit was not heard of, and nothing was sent.
    """
    rows = _refused.run(conn, listed(conn, list(ids)), owner).all()
    hold_back(conn, [row.id for row in rows])
    return [row.id for row in rows if row.open]


def unpark(conn: Connection, limit: int = PARKED) -> int:
    """Take the reason from actions that wait no more; returns how many there were."""
    ids = _waiting.run(conn, limit).scalars().all()
    if ids:
        _wait_no_more.run(conn, listed(conn, ids))
    return len(ids)


def fence(conn: Connection, now: int) -> None:
    """Hold back what is leased and not begun; rows that somebody has locked are passed over."""
    hold_back(conn, _leased.run(conn, now).scalars().all())


def unsettled(conn: Connection, now: int) -> bool:
    """Whether anything is still leased, or a send has begun and not ended, as far as its process lives."""
    leased = _any_leased.run(conn, now).first() is not None
    return leased or _any_begun.run(conn, now, now).first() is not None
