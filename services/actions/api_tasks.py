"""`/v1/tasks`: what people are asked to do, and what they did about it."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy import Connection, Row, select

from backbone.auth import Principal, require
from backbone.database import Database
from backbone.errors import Invalid, NotFound, StateConflict
from backbone.http import Json, Pages, json_response, page, reads, validate
from backbone.log import partition_for
from schemas.event import microseconds
from schemas.moments import Moment
from schemas.play import TaskList, TaskOut, answer
from schemas.playbook import Person, Strict
from services.actions import store_outbox, store_tasks
from services.actions.api_plays import Times
from services.actions.listing import RISING, Narrowed, NarrowedTasks, Sorted
from services.actions.plays.model import OPEN_TASK
from services.actions.store_plays import PlayStore
from services.actions.tables import tasks
from services.actions.views import task_view

LATEST_US = 253_402_300_799_000_000  # the end of the year 9999


class SnoozeIn(Strict):
    """The body of a snooze."""

    until: Moment = Field(description="When the task comes back.", examples=["2026-12-01T08:00:00Z"])


class ReassignIn(Strict):
    """The body of a reassignment."""

    assignee: Person = Field(description="An address, or `owner`.", examples=["kim@us.test"])


def router(db: Database, times: Times, partitions: int, changed: Callable[[], None]) -> APIRouter:
    """The routes. `changed` is called when something was put into the outbox."""
    routes = APIRouter(tags=["tasks"])
    verbs = _Verbs(db, times, partitions)

    @routes.get("/v1/tasks", summary="Tasks, newest first", responses=answer(TaskList))
    def listed(
        pages: Pages,
        narrow: Narrowed,
        wanted: NarrowedTasks,
        sort: Sorted = "created",
        _: Principal = require("actions:read"),
    ) -> Response:
        """`after` and `before` compare with `created_at`. A task is overdue while it is open and its due date past."""
        with db.read() as connection:
            now = times.now(connection, None)
            query = wanted.of(narrow.of(tasks, tasks.c.created_at), now)
            order = RISING.get(sort) or narrow.order(tasks, tasks.c.created_at)
            rising = sort if sort in RISING else ""
            shown = page(connection, query, order, pages, lambda row: task_view(row, now), rising=rising)
        return json_response(shown)

    @routes.get("/v1/tasks/{task}", summary="A task", responses=answer(TaskOut))
    def one(task: str, _: Principal = require("actions:read")) -> Response:
        with db.read() as connection:
            row = connection.execute(select(tasks).where(tasks.c.id == task)).one_or_none()
            if row is None:
                raise NotFound(f"there is no task {task!r}")
            return json_response(
                task_view(row, times.now(connection, partition_for(row.account, partitions)))
            )

    @routes.post("/v1/tasks/{task}/complete", summary="The task is done", responses=answer(TaskOut))
    def complete(task: str, _: Principal = require("actions:write")) -> Response:
        view = verbs.run(task, _complete)
        changed()
        return json_response(view)

    @routes.post("/v1/tasks/{task}/snooze", summary="Put the task off", responses=answer(TaskOut))
    @reads(SnoozeIn, {"until": "2026-12-01T08:00:00Z"})
    def snooze(task: str, body: Json, _: Principal = require("actions:write")) -> Response:
        until = _moment(validate(SnoozeIn, body).until)
        return json_response(verbs.run(task, partial(_snooze, until=until)))

    @routes.post(
        "/v1/tasks/{task}/reassign", summary="Give the task to somebody else", responses=answer(TaskOut)
    )
    @reads(ReassignIn, {"assignee": "kim@us.test"})
    def reassign(task: str, body: Json, _: Principal = require("actions:write")) -> Response:
        assignee = validate(ReassignIn, body).assignee
        return json_response(verbs.run(task, partial(_reassign, assignee=assignee)))

    return routes


class _Verbs:
    """Runs a verb on a task that is open, under its row's lock."""

    def __init__(self, db: Database, times: Times, partitions: int) -> None:
        self._db, self._times, self.partitions = db, times, partitions

    def run(self, task: str, verb: Callable[["_Verbs", Connection, Row[Any], int], None]) -> dict[str, Any]:
        with self._db.write() as connection:
            row = store_tasks.locked(connection, task)
            if row is None:
                raise NotFound(f"there is no task {task!r}")
            if row.status not in OPEN_TASK:
                raise StateConflict(f"the task is {row.status}; only an open or snoozed one can be changed")
            now = self._times.now(connection, partition_for(row.account, self.partitions))
            verb(self, connection, row, now)
            return task_view(connection.execute(select(tasks).where(tasks.c.id == task)).one(), now)


def _complete(verbs: _Verbs, connection: Connection, row: Row[Any], now: int) -> None:
    store_tasks.change(connection, row.id, status="completed", completed_at=now, snoozed_until=None)
    store_outbox.emit(connection, [store_tasks.completed_event(row, now)], verbs.partitions)


def _snooze(_verbs: _Verbs, connection: Connection, row: Row[Any], now: int, *, until: int) -> None:
    if until <= now:
        raise Invalid([{"field": "until", "message": "must lie in the future"}])
    store_tasks.change(connection, row.id, status="snoozed", snoozed_until=until)


def _reassign(verbs: _Verbs, connection: Connection, row: Row[Any], _now: int, *, assignee: str) -> None:
    if assignee == "owner":
        profile = PlayStore(0, verbs.partitions, lambda: connection).profile(row.account)
        if profile is None or profile.owner is None or not profile.owner.email:
            raise Invalid([{"field": "assignee", "message": "the account has no owner with an address"}])
        assignee = profile.owner.email
    store_tasks.reassign(connection, row.id, assignee)


def _moment(time: datetime) -> int:
    return min(microseconds(time), LATEST_US)
