"""Tasks: made or updated by a step, closed with a play, completed, snoozed and reassigned by people. SQL only."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select, text, union

from backbone.database import Database
from schemas.names import MAX_NAME, fitting
from schemas.task import CompleteIn, TaskIn
from services.actions.plays.action_drafts import approval_title
from services.actions.plays.lifecycle_events import about
from services.actions.plays.model import OPEN_TASK, ActionDraft, Approval, OwnEvent, TaskSpec
from services.actions.storage import search_columns
from services.actions.storage.status import new_task, rewrite_task, set_task, wake_tasks
from services.actions.tables import NEVER, actions, tasks

MAX_TITLE, MAX_BODY, MAX_KEY = 2_000, 50_000, 512  # how many characters of a rendered field are kept
APPROVE_BODY = (
    "The email waits for you. GET /v1/actions/{id} shows it, and POST /v1/actions/{id}/approve or …/reject decides. "
    "{id} is the id of this task."
)


class TaskContent(msgspec.Struct, kw_only=True):
    """A task's rendered fields."""

    title: str
    body: str | None
    key: str


class PutTask(NamedTuple):
    """The task of a step: its id, whether it is new, and whether somebody has it who had not."""

    id: str
    new: bool
    given: bool


def content_of(spec: TaskSpec, rendered: dict[str, Any]) -> TaskContent:
    """The fields of a rendered task, cut to their limits. The key replaces a title that came out empty."""
    key = _clean(rendered.get("key") or spec.default_key, MAX_KEY) or "task"
    title = _clean(rendered.get("title"), MAX_TITLE) or key
    return TaskContent(title=title, body=_clean(rendered.get("body"), MAX_BODY), key=key)


def _clean(text: Any, limit: int) -> str | None:
    return None if text is None else str(text).replace("\0", "").strip()[:limit]


def put_task(
    conn: Connection, draft: ActionDraft, spec: TaskSpec, content: TaskContent, partition: int
) -> PutTask:
    """Make the task of a step, or update the open one with its account and key."""
    found = open_task(conn, draft.account, content.key, hold=True)
    values: dict[str, Any] = {
        "play": draft.play,
        "playbook": draft.playbook,
        "step": draft.step,
        "contact": fitting(draft.contact, MAX_NAME),
        "title": content.title,
        "body": content.body,
        "rule": draft.rule,
        "tier": draft.tier,
        **_asked(spec),
    }
    if found is not None:
        if found.reassigned:
            del values["assignee"], values["assigned"]
        rewrite_task(conn, str(found.id), values)
        moved = values.get("assigned", found.assigned) not in (None, found.assigned)
        return PutTask(str(found.id), new=False, given=moved)
    fresh = {"id": draft.id, "account": draft.account, "key": content.key, "partition": partition}
    new_task(conn, {**values, **fresh, "created_at": draft.due_at})
    return PutTask(draft.id, new=True, given=True)


def open_task(conn: Connection, account: str, key: str, *, hold: bool = False) -> Any:
    """The open task of this account and key, or None. `hold` locks its row until the transaction ends.

    Until then nobody else makes or looks for such a task. A caller without `hold` waits for no row: it cannot deadlock.
    """
    if conn.dialect.name == "postgresql":
        name = {"name": f"{account}\n{key}"}
        conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), name)
    query = select(tasks.c.id, tasks.c.reassigned, tasks.c.assigned).where(
        tasks.c.account == account, tasks.c.key == key, tasks.c.status.in_(OPEN_TASK)
    )
    newest = query.order_by(tasks.c.seq.desc()).limit(1)
    return conn.execute(newest.with_for_update() if hold else newest).one_or_none()


def insert_by_hand(
    conn: Connection, task: str, body: TaskIn, spec: TaskSpec, now: int, partition: int
) -> None:
    """Insert a task that belongs to no play."""
    values = {
        "id": task,
        **dict.fromkeys(("play", "playbook", "step"), ""),
        "account": body.account or "",
        "contact": body.contact,
        "title": body.title,
        "body": body.body,
        "key": spec.default_key,
        "created_at": now,
        "partition": partition,
        **_asked(spec),
    }
    new_task(conn, values)


def _asked(spec: TaskSpec) -> dict[str, Any]:
    """The columns that say who should do a task, by when, and how urgent it is."""
    return {
        **_assigned(spec.assignee),
        **_due(spec.due_at),
        "priority": spec.priority,
        "urgency": search_columns.urgency(spec.priority),
    }


def _assigned(assignee: str | None) -> dict[str, str | None]:
    """The columns that say to whom a task is assigned."""
    return {"assignee": fitting(assignee), "assigned": search_columns.address(assignee)}


def _due(at: int | None) -> dict[str, int | None]:
    return {"due_at": at, "due_or_never": NEVER if at is None else at}


def reassign(conn: Connection, task: str, assignee: str) -> None:
    """Give a task to somebody else by hand; no step undoes that."""
    rewrite_task(conn, task, {"reassigned": True, **_assigned(assignee)})


def ask_approval(
    conn: Connection, draft: ActionDraft, approval: Approval, content: dict[str, Any], partition: int
) -> str:
    """Make the task that asks somebody to approve a mail; returns its key. It has the action's id, and no other task
    has its key."""
    spec = TaskSpec(title="", assignee=approval.approver, due_at=approval.until, default_key=draft.id)
    values = {
        "id": draft.id,
        "play": draft.play,
        "playbook": draft.playbook,
        "step": draft.step,
        "account": draft.account,
        "contact": fitting(draft.contact, MAX_NAME),
        "title": _clean(approval_title(draft.recipient, content.get("subject")), MAX_TITLE),
        "body": APPROVE_BODY,
        "key": draft.id,
        "approves": True,
        "rule": draft.rule,
        "tier": draft.tier,
        "created_at": draft.due_at,
        "partition": partition,
        **_asked(spec),
    }
    new_task(conn, values)
    return draft.id


def created_event(draft: ActionDraft, key: str) -> OwnEvent:
    """`touchline.task.created`."""
    return about(
        "task.created",
        draft,
        time=draft.due_at,
        depth=draft.depth,
        place=draft.place,
        more={"key": key},
    )


def plays_left_open(conn: Connection, accounts: Sequence[str]) -> set[str]:
    """The plays of these accounts that have open tasks, or mails that wait."""
    open_ = select(tasks.c.play).where(tasks.c.account.in_(accounts), tasks.c.status.in_(OPEN_TASK))
    waiting = select(actions.c.play).where(actions.c.account.in_(accounts), actions.c.waits)
    return set(conn.scalars(union(open_, waiting)))


def locked(conn: Connection, task: str) -> Row[Any] | None:
    """A task's row, locked until the transaction ends."""
    return conn.execute(select(tasks).where(tasks.c.id == task).with_for_update()).one_or_none()


def snooze(conn: Connection, task: str, until: int) -> None:
    """Put a task off until a moment, in microseconds."""
    set_task(conn, task, "snoozed", snoozed_until=until)


def wake(db: Database, clock: Callable[[Connection], int]) -> None:
    """Open the snoozed tasks whose time has come, so that their rows say so to whoever reads tables or exports."""
    with db.read() as conn:
        now = clock(conn)
        due = select(tasks.c.seq).where(tasks.c.status == "snoozed", tasks.c.snoozed_until <= now)
        if conn.scalar(due.limit(1)) is None:
            return
    with db.write() as conn:
        wake_tasks(conn, now)


def complete(conn: Connection, task: str, how: CompleteIn, by: str, now: int) -> None:
    """Complete a task, with its outcome and the name of the API key that said so."""
    set_task(
        conn, task, "completed", completed_at=now, over_at=now, snoozed_until=None, completed_by=by,
        note=how.note, outcome=how.outcome,
    )  # fmt: skip


def completed_event(row: Row[Any], place: int | None) -> OwnEvent:
    """`touchline.task.completed`, from the task's row as it is now; `place` is the play's."""
    more = {"note": row.note, "outcome": row.outcome, "completed_by": row.completed_by}
    return _event("task.completed", row, row.completed_at, place, more)


def made_event(row: Row[Any]) -> OwnEvent:
    """`touchline.task.created` of a task made by hand."""
    return _event("task.created", row, row.created_at, None)


def _event(
    kind: str, row: Row[Any], at: int, place: int | None, more: dict[str, Any] | None = None
) -> OwnEvent:
    """An event about what a person did; it follows from no event of ours."""
    return about(
        kind,
        row,
        time=at,
        depth=None,
        place=place,
        more={"key": row.key, **(more or {})},
    )
