"""`/v1/tasks`: what people are asked to do, and what they have done about it."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection, Row, select

from backbone.audit import AuditTrail
from backbone.database import Database
from backbone.errors import Invalid, NotFound, StateConflict
from backbone.log import partition_for
from backbone.web.api_keys import Principal, require
from backbone.web.app import Once, Pages, etag, json_response, page
from backbone.web.audit import Trail
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from schemas.answers import page_of
from schemas.event import microseconds
from schemas.play import TaskMade, TaskOut
from schemas.task import TASK_EXAMPLE, CompleteIn, ReassignIn, SnoozeIn, TaskIn
from services.actions.api.filters import RISING, Narrowed, NarrowedTasks, Sorted
from services.actions.api.new_task import LATEST_US, make, owner_of, profile_of
from services.actions.api.plays import Times
from services.actions.api.views import moment, task_view
from services.actions.plays.model import OPEN_TASK
from services.actions.storage import outbox, search_columns, task_mails, task_rows
from services.actions.storage.task_mails import Given
from services.actions.tables import tasks

TaskBody = Annotated[TaskIn, AS_SHOWN, example(TASK_EXAMPLE)]
CompleteBody = Annotated[
    CompleteIn | None, example({"note": "They will sign on Monday.", "outcome": "reached"})
]
SnoozeBody = Annotated[SnoozeIn, example({"until": "2026-12-01T08:00:00Z"})]
ReassignBody = Annotated[ReassignIn, example({"assignee": "kim@us.test"})]


def router(db: Database, times: Times, partitions: int, changed: Callable[[], None]) -> APIRouter:
    """The routes. `changed` is called when records were put into the outbox."""
    routes = APIRouter(tags=["tasks"], route_class=JsonRoute)
    verbs = _Verbs(db, times, partitions)

    @routes.get("/v1/tasks", summary="List tasks, newest first", response_model=page_of(TaskOut))
    def listed(
        pages: Pages,
        narrow: Narrowed,
        wanted: NarrowedTasks,
        sort: Sorted = "created",
        _: Principal = require("actions:read"),
    ) -> Response:
        """`after` and `before` are compared with `created_at`. A task is overdue if it is open and its due
        date is past.
        """
        with db.read() as connection:
            now = times.now(connection, None)
            query = wanted.of(narrow.of(tasks, tasks.c.created_at), now)
            order = RISING.get(sort) or narrow.order(tasks, tasks.c.created_at)
            rising = sort if sort in RISING else ""
            shown = page(connection, query, order, pages, lambda row: task_view(row, now), rising=rising)
        return json_response(shown)

    @routes.get("/v1/tasks/{task}", summary="Get a task", response_model=TaskOut)
    def one(task: str, _: Principal = require("actions:read")) -> Response:
        with db.read() as connection:
            row = connection.execute(select(tasks).where(tasks.c.id == task)).one_or_none()
            if row is None:
                raise NotFound(f"there is no task {task!r}")
            return json_response(task_view(row, verbs.now(connection, row.account)))

    _making(routes, db, verbs, changed)

    @routes.post("/v1/tasks/{task}/complete", summary="Complete the task", response_model=TaskOut)
    def complete(
        task: str, trail: Trail, how: CompleteBody = None, _: Principal = require("actions:write")
    ) -> Response:
        view = verbs.run(task, partial(_complete, how=how or CompleteIn(), by=trail.actor), trail)
        changed()
        return json_response(view)

    @routes.post("/v1/tasks/{task}/snooze", summary="Snooze the task", response_model=TaskOut)
    def snooze(
        task: str, body: SnoozeBody, trail: Trail, _: Principal = require("actions:write")
    ) -> Response:
        return json_response(verbs.run(task, partial(_snooze, until=_moment(body.until)), trail))

    @routes.post(
        "/v1/tasks/{task}/reassign", summary="Reassign the task to somebody else", response_model=TaskOut
    )
    def reassign(
        task: str, body: ReassignBody, trail: Trail, caller: Principal = require("actions:write")
    ) -> Response:
        verb = partial(_reassign, assignee=body.assignee, by=caller.email)
        return json_response(verbs.run(task, verb, trail))

    return routes


def _making(routes: APIRouter, db: Database, verbs: "_Verbs", changed: Callable[[], None]) -> None:
    @routes.post("/v1/tasks", status_code=201, response_model=TaskMade, summary="Create a task by hand")
    def create(
        body: TaskBody, once: Once, trail: Trail, caller: Principal = require("actions:write")
    ) -> Response:
        """The task is completed, snoozed, reassigned and listed like any other. It is deleted when its
        account is erased.
        """
        with db.write() as connection:

            def act() -> Response:
                now = verbs.now(connection, body.account)
                row, warnings = make(connection, body, now, verbs.partitions)
                trail.note(connection, "task", row.id, after=_audited(row))
                task_mails.note(connection, [Given(row.id, row.assignee)], by=caller.email)
                headers = {"Location": f"/v1/tasks/{row.id}", "ETag": etag(row.seq)}
                view = task_view(row, now) | ({"warnings": warnings} if warnings else {})
                return json_response(view, 201, headers)

            answered = once.run(connection, act)
        changed()
        return answered


class _Verbs:
    """Runs a verb on an open task, under its row's lock."""

    def __init__(self, db: Database, times: Times, partitions: int) -> None:
        self._db, self._times, self.partitions = db, times, partitions

    def now(self, connection: Connection, account: str | None) -> int:
        """The current time for a task of this account, or of no account."""
        return self._times.now(connection, partition_for(account, self.partitions) if account else None)

    def run(
        self, task: str, verb: Callable[["_Verbs", Connection, Row[Any], int], None], trail: AuditTrail
    ) -> dict[str, Any]:
        with self._db.write() as connection:
            row = task_rows.locked(connection, task)
            if row is None:
                raise NotFound(f"there is no task {task!r}")
            if row.status not in OPEN_TASK:
                raise StateConflict(f"the task is {row.status}; only an open or snoozed one can be changed")
            now = self.now(connection, row.account)
            verb(self, connection, row, now)
            after = connection.execute(select(tasks).where(tasks.c.id == task)).one()
            trail.note(connection, "task", task, before=_audited(row), after=_audited(after))
            return task_view(after, now)


def _audited(row: Row[Any]) -> dict[str, Any]:
    """What the audit says of a task: nothing that tells of a person at the account, or was written about one."""
    return {
        "account": row.account,
        "contact": row.contact,
        "play": row.play,
        "status": row.status,
        "assignee": row.assignee,
        "due_at": moment(row.due_at),
        "snoozed_until": moment(row.snoozed_until),
    }


def _complete(
    verbs: _Verbs, connection: Connection, row: Row[Any], now: int, *, how: CompleteIn, by: str
) -> None:
    if row.approves:
        paths = f"POST /v1/actions/{row.id}/approve or …/reject"
        raise StateConflict(
            f"the task is closed when the mail that it asks to approve is decided on: {paths}"
        )
    task_rows.complete(connection, row.id, how, by, now)
    done = connection.execute(select(tasks).where(tasks.c.id == row.id)).one()
    if done.account:  # every event belongs to an account
        event = task_rows.completed_event(done, outbox.place_of(connection, row.play))
        outbox.emit(connection, [event], verbs.partitions)


def _snooze(_verbs: _Verbs, connection: Connection, row: Row[Any], now: int, *, until: int) -> None:
    if until <= now:
        raise Invalid([{"field": "until", "message": "must lie in the future"}])
    task_rows.snooze(connection, row.id, until)


def _reassign(
    verbs: _Verbs, connection: Connection, row: Row[Any], _now: int, *, assignee: str, by: str | None
) -> None:
    if assignee == "owner":
        assignee = owner_of(profile_of(connection, row.account, verbs.partitions))
    task_rows.reassign(connection, row.id, assignee)
    if search_columns.address(assignee) != row.assigned:
        task_mails.note(connection, [Given(row.id, assignee, handed_over=True)], by=by)


def _moment(time: datetime) -> int:
    return min(microseconds(time), LATEST_US)
