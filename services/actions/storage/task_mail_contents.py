"""What mails about tasks say, read from the tables when a mail goes out. SQL only."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, func, select

from schemas.profile import Profile
from services.actions.storage.task_mail_attempts import TaskMail
from services.actions.storage.task_mails import to_do
from services.actions.tables import accounts, plays, tasks
from services.actions.task_mail_tables import task_mail_items
from services.actions.task_mails.schedule import Day
from services.actions.task_mails.wording import LISTED, Morning, ShownTask

MOST_NEW = 5_000  # tasks of one mail
_profile = msgspec.json.Decoder(Profile).decode


def of_made(conn: Connection, mail: TaskMail) -> list[ShownTask]:
    """The tasks that a mail tells of, as far as they are still open and the assignee's, in the order of being given."""
    items = select(task_mail_items.c.task, task_mail_items.c.handed_over).where(
        task_mail_items.c.mail == mail.id
    )
    found = conn.execute(items.order_by(task_mail_items.c.seq).limit(MOST_NEW)).all()
    handed = {row.task: row.handed_over for row in found}
    still = (tasks.c.assigned == mail.assigned, tasks.c.status == "open")
    mine = select(tasks).join(task_mail_items, task_mail_items.c.task == tasks.c.id)
    rows = conn.execute(mine.where(task_mail_items.c.mail == mail.id, *still).limit(MOST_NEW)).all()
    place = {task: at for at, task in enumerate(handed)}
    ordered = sorted({row.id: row for row in rows}.values(), key=lambda row: place.get(row.id, len(place)))
    shown = _shown(conn, ordered[:LISTED], handed)
    return [*shown, *(ShownTask(row.id, row.title) for row in ordered[LISTED:])]


def of_morning(conn: Connection, mail: TaskMail, day: Day, *, is_wall: bool) -> Morning:
    """What an assignee has to do, as of the moment of a mail."""
    moment = mail.moment or 0
    open_ = (tasks.c.assigned == mail.assigned, to_do(moment, day, is_wall=is_wall))
    parts = (
        tasks.c.due_or_never < moment,
        (tasks.c.due_or_never >= moment) & (tasks.c.due_or_never < day.end),
        (tasks.c.due_or_never >= day.end) & (tasks.c.due_or_never < day.week_end),
    )
    room, found = LISTED, []
    for part in parts:
        order = (tasks.c.due_or_never, tasks.c.urgency, tasks.c.seq)
        rows = (
            conn.execute(select(tasks).where(*open_, part).order_by(*order).limit(room)).all() if room else []
        )
        room -= len(rows)
        found.append(_shown(conn, rows, {}))
    first, second, third = (_count(conn, *open_, part) for part in parts)
    later = _count(conn, *open_, tasks.c.due_or_never >= day.week_end)
    return Morning(found[0], found[1], found[2], (first, second, third), later)


def _count(conn: Connection, *which: ColumnElement[bool]) -> int:
    return conn.scalar(select(func.count()).select_from(tasks).where(*which)) or 0


def _shown(conn: Connection, rows: Sequence[Row[Any]], handed: dict[str, bool]) -> list[ShownTask]:
    names = _names(conn, {row.account for row in rows})
    triggers = _triggers(conn, {row.play for row in rows})
    return [
        ShownTask(
            id=row.id,
            title=row.title,
            body=row.body,
            account=row.account,
            account_name=names.get(row.account),
            priority=row.priority,
            due_at=row.due_at,
            approves=row.approves,
            handed_over=handed.get(row.id, False),
            rule=row.rule,
            playbook=row.playbook or None,
            trigger=triggers.get(row.play),
        )
        for row in rows
    ]


def _names(conn: Connection, known: set[str]) -> dict[str, str | None]:
    query = select(accounts.c.account, accounts.c.profile).where(accounts.c.account.in_(known))
    return {row.account: _profile(row.profile).name for row in conn.execute(query)}


def _triggers(conn: Connection, known: set[str]) -> dict[str, Any]:
    query = select(plays.c.id, plays.c.trigger).where(plays.c.id.in_(known - {""}))
    return {row.id: row.trigger for row in conn.execute(query)}
