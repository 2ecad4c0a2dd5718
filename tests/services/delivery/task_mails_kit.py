"""Tasks and the document that asks for mails about them, on any database."""

from typing import Any

from sqlalchemy import select, update

from backbone.database import Database
from schemas.task import TaskIn
from schemas.task_mails import KIND, TaskMailsDoc
from services.actions.plays.model import TaskSpec
from services.actions.storage import task_mails as rows
from services.actions.storage import task_rows
from services.actions.storage.library import TASK_MAILS
from services.actions.storage.task_mails import Given
from services.actions.tables import tasks


def wish(db: Database, now: int, **fields: Any) -> None:
    """Save the document, as a call does."""
    doc = TaskMailsDoc.model_validate(fields)
    with db.write() as conn:
        rows.turn(conn, on=doc.morning is not None, now=now)
        TASK_MAILS.put(conn, KIND, doc.model_dump(mode="json"), "jo", now)


def give(
    db: Database, task: str, now: int, *, to: str = "jo@us.test", due: int | None = None, by: str | None = None,
    account: str = "acme", title: str = "Call them", tell: bool = True,
) -> None:  # fmt: skip
    """Make a task for somebody."""
    body = TaskIn.model_validate({"title": title, "account": account, "assignee": to})
    spec = TaskSpec(title=title, assignee=to, due_at=due, default_key=task)
    with db.write() as conn:
        task_rows.insert_by_hand(conn, task, body, spec, now, 0)
        if tell:
            rows.note(conn, [Given(task, to)], by=by)


def hand_over(db: Database, task: str, to: str) -> None:
    """Give a task to somebody else."""
    with db.write() as conn:
        task_rows.reassign(conn, task, to)
        rows.note(conn, [Given(task, to, handed_over=True)])


def close(db: Database, task: str, at: int) -> None:
    """End a task."""
    with db.write() as conn:
        conn.execute(update(tasks).where(tasks.c.id == task).values(status="completed", over_at=at))


def every(db: Database, table: Any) -> list[Any]:
    """The rows of a table, in order."""
    with db.read() as conn:
        return list(conn.execute(select(table).order_by(table.c.seq)))
