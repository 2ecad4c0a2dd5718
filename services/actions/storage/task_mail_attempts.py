"""The attempts at mails about tasks: claimed by one process, begun once sending is seen to be on, and ended. SQL only.

A claim lasts for `LEASE_US`, and whoever has it extends it. Whoever finds one that ran out after its attempt began
cannot know whether the mail went out.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from services.actions.storage import sending
from services.actions.task_mail_tables import task_mail_items, task_mails

LEASE_US = 30_000_000
MOST = 20  # mails that a process takes at once


class TaskMail(msgspec.Struct, frozen=True):
    """A mail to be sent; `moment`: of a morning mail. `interrupted`: an attempt began, and nobody knows its end."""

    id: str
    kind: str
    assigned: str
    address: str
    moment: int | None
    attempts: int
    due_at: int
    interrupted: bool


def due(conn: Connection, now: int) -> list[TaskMail]:
    """The mails whose time has come and that nobody has claimed, oldest first."""
    query = select(task_mails).where(task_mails.c.next_attempt_at <= now, _free(now))
    rows = conn.execute(query.order_by(task_mails.c.next_attempt_at, task_mails.c.seq).limit(MOST))
    return [
        TaskMail(
            row.id, row.kind, row.assigned, row.address, row.moment, row.attempts, row.due_at, row.attempting
        )
        for row in rows
    ]


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
