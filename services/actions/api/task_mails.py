"""`/v1/task-mails`: which mails assignees get about their tasks, and what became of them."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlalchemy import Connection, Row, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.single import SingleKind, single_router
from backbone.web.api_keys import Principal, require
from backbone.web.app import Pages, json_response, page
from backbone.web.pagination import Address, After, Before, between, equal, newest
from schemas.answers import FieldWarning, Time, page_of
from schemas.lint.single import LintWarning
from schemas.play_reasons import ActionReason
from schemas.sentences.plays import PlayCase, said
from schemas.task_mails import (
    KIND,
    NOTHING_LEFT,
    TASK_MAILS_EXAMPLE,
    TaskMailOut,
    TaskMailsDoc,
    TaskMailStatus,
)
from services.actions.api.views import moment
from services.actions.storage import search_columns, sending
from services.actions.storage import task_mails as rows
from services.actions.storage.library import TASK_MAILS
from services.actions.task_mail_tables import task_mail_items, task_mails

LEFT = "The tasks were done, closed, put off or handed over before the mail began, or such mails were turned off."
MOST_TASKS = 100  # ids that are shown of one mail
_ABOUT = """Replaces the whole document; an empty one, `{}`, means no mails about tasks. It holds from now on: of
tasks that people already have, the next morning mail tells.

These mails go to colleagues, so the sending policy, suppressions and topics do not hold for them. They wait while
sending is off, and `TOUCHLINE_MAIL_ONLY_TO` and `TOUCHLINE_MAIL_INSTEAD_TO` hold for them as for all mails."""


class TaskMailsOut(TaskMailsDoc):
    """The saved document. Before the first save, `version` is 0, and nobody has changed it."""

    version: int = Field(
        description="The number of the version. 0 if nobody has saved any yet.", examples=[3]
    )
    changed_by: str = Field(default="", description="The name of the API key.", examples=["jo"])
    changed_at: Time = ""
    warnings: list[FieldWarning] = Field(
        default=[], description="Warnings, in the answer to a save. Left out if there are none."
    )


def routers(db: Database, clock: Clock, now: Callable[[Connection], int]) -> Sequence[APIRouter]:
    """The routes. `now` gives the time; with the log clock, that of the partition furthest ahead."""

    def prepare(conn: Connection, body: TaskMailsDoc) -> None:
        """Morning mails begin with the first morning after the save."""
        rows.turn(conn, on=body.morning is not None, now=now(conn))

    kind = SingleKind(
        KIND, "the mails about tasks", TaskMailsDoc, TaskMailsOut, TASK_MAILS_EXAMPLE, "actions:read", "actions:write",
        about=_ABOUT, lint=_doubts, prepare=prepare, unsaved=TaskMailsDoc.model_validate({}).model_dump(),
    )  # fmt: skip
    return [_deliveries(db), single_router(kind, TASK_MAILS, db, clock)]


def _doubts(_: Connection, body: TaskMailsDoc) -> list[LintWarning]:
    if body.people and not body.made and body.morning is None:
        return [
            {"field": "people", "message": "changes nothing: without made and morning nobody gets a mail"}
        ]
    return []


def _deliveries(db: Database) -> APIRouter:
    routes = APIRouter(tags=[KIND])

    @routes.get(
        "/v1/task-mails/deliveries",
        response_model=page_of(TaskMailOut),
        summary="List mails about tasks, newest first",
    )
    def listed(
        pages: Pages,
        assignee: Address = None,
        status: TaskMailStatus | None = None,
        kind: Literal["made", "morning"] | None = None,
        task: Annotated[
            str | None, Query(max_length=64, description="Only mails that tell of this task.")
        ] = None,
        after: After = None,
        before: Before = None,
        _: Principal = require("actions:read"),
    ) -> Response:
        """Mails of the last 30 days. `after` and `before` are compared with `due_at`."""
        query = equal(select(task_mails), status=status, kind=kind, assigned=search_columns.address(assignee))
        if task is not None:
            about = select(task_mail_items.c.mail).where(task_mail_items.c.task == task)
            query = query.where(task_mails.c.id.in_(about))
        query = between(query, task_mails.c.due_at, after, before)
        order = newest(task_mails.c.seq, task_mails.c.due_at, after, before)
        with db.read() as connection:
            off = sending.is_off(connection)

            def view(row: Row[Any]) -> dict[str, Any]:
                return _view(connection, row, off=off)

            return json_response(page(connection, query, order, pages, view))

    return routes


def _view(connection: Connection, row: Row[Any], *, off: bool) -> dict[str, Any]:
    items = select(task_mail_items.c.task).where(task_mail_items.c.mail == row.id)
    about = connection.scalars(items.order_by(task_mail_items.c.seq).limit(MOST_TASKS))
    waits = off and row.next_attempt_at is not None and not row.attempting
    reason = ActionReason.SENDING_OFF.value if waits else row.reason
    case = PlayCase(
        channel="email", recipient=row.address, attempts=row.attempts, again_at=row.next_attempt_at
    )
    return {
        "id": row.id,
        "kind": row.kind,
        "assignee": row.address,
        "status": row.status,
        "reason": reason,
        "sentence": LEFT if reason == NOTHING_LEFT else said(ActionReason, reason, case),
        "detail": row.detail or None,
        "attempts": row.attempts,
        "tasks": list(about),
        "moment": moment(row.moment),
        "due_at": moment(row.due_at),
        "done_at": moment(row.done_at),
    }
