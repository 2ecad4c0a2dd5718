"""The attempts at mails about tasks: claimed by one process, begun once sending is seen to be on, and ended. SQL only.

A claim lasts for `LEASE_US`, and whoever has it extends it. Whoever finds one that ran out after its attempt began
cannot know whether the mail went out.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from schemas.play_reasons import ActionReason
from services.actions.storage import sending
from services.actions.storage.sql import Sql, Unreadable
from services.actions.task_mail_tables import task_mail_items, task_mails

LEASE_US = 30_000_000
MOST = 20  # mails that a process takes at once


class TaskMail(msgspec.Struct, frozen=True, array_like=True):
    """A mail to be sent; `moment`: of a morning mail. `interrupted`: an attempt began, and nobody knows its end."""

    id: str
    kind: str
    assigned: str
    address: str
    moment: int | None
    attempts: int
    due_at: int
    interrupted: bool | int


_due = Sql("""
    SELECT a.id, a.kind, a.assigned, a.address, a.moment, a.attempts, a.due_at, a.attempting AS interrupted
    FROM actions.actions_task_mails a
    WHERE a.next_attempt_at <= ? AND (a.lease_until IS NULL OR a.lease_until < ?)
    ORDER BY a.next_attempt_at, a.seq LIMIT ?
""")
_end_odd = Sql("""
    UPDATE actions.actions_task_mails SET status = CASE WHEN attempting THEN 'uncertain' ELSE 'failed' END, reason = ?,
    detail = ?, next_attempt_at = NULL, done_at = ?, attempting = FALSE, lease_owner = NULL, lease_until = NULL
    WHERE id = ? OR id = CAST(? AS TEXT)
""")


def due(conn: Connection, now: int) -> list[TaskMail]:
    """The mails whose time has come and that nobody has claimed, oldest first. Raises `Unreadable`."""
    return _due.read(conn, TaskMail, now, now, MOST)


def end_unreadable(conn: Connection, found: Unreadable, now: int) -> None:
    """End mails whose rows cannot be read, so that the others go on."""
    for mail, columns in found.columns.items():
        why = f"what is stored of it cannot be read: {', '.join(columns)}"
        _end_odd.run(conn, ActionReason.TEMPLATE_ERROR.value, why, now, mail, mail)


def claim(conn: Connection, mail: str, owner: str, now: int) -> bool:
    """Claim a mail; returns whether nobody was faster."""
    mine = update(task_mails).where(
        task_mails.c.id == mail, task_mails.c.next_attempt_at.is_not(None), _free(now)
    )
    return conn.execute(mine.values(lease_owner=owner, lease_until=now + LEASE_US)).rowcount == 1


def extend(conn: Connection, mails: Sequence[str], owner: str, now: int) -> None:
    """Extend the claims of these mails, as far as they are still the owner's."""
    mine = update(task_mails).where(task_mails.c.id.in_(mails), task_mails.c.lease_owner == owner)
    conn.execute(mine.values(lease_until=now + LEASE_US))


def begin(conn: Connection, mail: str, owner: str, now: int, listed: Sequence[str] = ()) -> int | None:
    """Begin an attempt, unless sending is off or the claim is somebody else's by now; returns when the first one began.

    `listed`: the tasks that a morning mail names, so that they can be forgotten.
    """
    sending.lock_shared(conn)
    if sending.is_off(conn):
        return None
    begun = update(task_mails).where(task_mails.c.id == mail, task_mails.c.lease_owner == owner)
    fresh = {"begun_at": func.coalesce(task_mails.c.begun_at, now), "attempts": task_mails.c.attempts + 1}
    found = conn.execute(
        begun.values(attempting=True, **fresh).returning(
            task_mails.c.begun_at, task_mails.c.assigned, task_mails.c.address
        )
    ).one_or_none()
    if found is None:
        return None
    known = set(conn.scalars(select(task_mail_items.c.task).where(task_mail_items.c.mail == mail)))
    fresh_items = [
        {"task": one, "assigned": found.assigned, "address": found.address, "mail": mail}
        for one in listed
        if one not in known
    ]
    if fresh_items:
        conn.execute(insert(task_mail_items), fresh_items)
    return int(found.begun_at)


def end(
    conn: Connection,
    mail: str,
    owner: str,
    status: str,
    reason: str | None,
    detail: str,
    at: int,
    again: int | None,
) -> None:
    """Write how a claimed mail's attempt ended, and when it is tried again (None: it is not)."""
    mine = update(task_mails).where(task_mails.c.id == mail, task_mails.c.lease_owner == owner)
    free: dict[str, Any] = {"attempting": False, "lease_owner": None, "lease_until": None}
    done = None if again is not None else at
    told = {"status": status, "reason": reason, "detail": detail, "next_attempt_at": again, "done_at": done}
    conn.execute(mine.values(**told, **free))


def let_go(conn: Connection) -> None:
    """End all claims, when a process starts that is the only one on its database."""
    held = update(task_mails).where(task_mails.c.lease_until.is_not(None))
    conn.execute(held.values(lease_owner=None, lease_until=None))


def _free(now: int) -> ColumnElement[bool]:
    return or_(task_mails.c.lease_until.is_(None), task_mails.c.lease_until < now)
