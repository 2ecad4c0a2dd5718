"""`/v1/actions/…/approve` and `…/reject`: a person decides about mails that wait for an approval."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection, Row, select

from backbone.audit import AuditTrail
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import NotFound, StateConflict
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.audit import Trail
from backbone.web.json_route import JsonRoute, example
from schemas.approval import (
    APPROVE_EXAMPLE,
    UNDECIDED,
    ApprovedOut,
    ApproveIn,
    ApproveSeveralIn,
    RejectIn,
    UndecidedReason,
)
from schemas.play import ActionDetail
from schemas.play_reasons import ActionReason
from schemas.sentences.plays import sentence
from services.actions.api.details import Details
from services.actions.api.edits import Editing
from services.actions.api.plays import Times
from services.actions.api.views import case_of
from services.actions.plays.model import SENDABLE
from services.actions.rendering import RenderPool
from services.actions.storage import approvals, sending
from services.actions.tables import actions

ApproveBody = Annotated[ApproveIn | None, example(APPROVE_EXAMPLE)]
SeveralBody = Annotated[ApproveSeveralIn, example({"ids": ["act_8c7c9d8a45d0e66598b16977d1"]})]
RejectBody = Annotated[RejectIn | None, example({"reason": "they have just signed"})]
EDITED = ("subject", "markdown")


class ApprovalDesk:
    """Decides about mails. `due` is called when one may go out."""

    def __init__(self, db: Database, clock: Clock, times: Times, due: Callable[[], None]) -> None:
        self._db, self._clock, self._times, self._due = db, clock, times, due

    def awaiting(self, conn: Connection, action: str, *, hold: bool = False) -> Row[Any]:
        """The row of an action that awaits an approval; `hold`: locked. Raises `NotFound`, `StateConflict`."""
        if hold:
            row = approvals.locked(conn, [action]).get(action)
        else:
            row = conn.execute(select(actions).where(actions.c.id == action)).one_or_none()
        if row is None:
            raise NotFound(f"there is no action {action!r}")
        reason = self.hindrance(conn, row)
        if reason is not None:
            raise StateConflict(_why_not(row, reason))
        return row

    def hindrance(self, conn: Connection, row: Row[Any]) -> UndecidedReason | ActionReason | None:
        """Why an action cannot be decided on; None: it can."""
        if row.approve_until is None:
            ended = row.status not in SENDABLE and row.reason in set(ActionReason)
            return ActionReason(row.reason) if ended else UndecidedReason.NOT_AWAITING
        return ActionReason.NOT_APPROVED if self._is_over(conn, row) else None

    def _is_over(self, conn: Connection, row: Row[Any]) -> bool:
        """Whether its time is over, and it is only not skipped yet. While sending is off, no time is."""
        now = self._times.now(conn, row.partition)
        return bool(now >= row.approve_until) and not sending.is_off(conn)

    def approve(
        self, conn: Connection, rows: Sequence[Row[Any]], by: str, content: dict[str, Any] | None = None
    ) -> None:
        """Let mails go out; their rows are locked."""
        for row in rows:
            at = self.moment(conn, row)
            now, log_clock = self._clock.now(), self._times.log_clock
            approvals.approve(conn, row, by, at=at, now=now, log_clock=log_clock, rendered=content)

    def moment(self, conn: Connection, row: Row[Any]) -> int:
        """The time of a decision made now, by the clock of the action's partition."""
        now: int = max(self._times.now(conn, row.partition), row.due_at)
        return now

    def approve_one(self, action: str, edits: ApproveIn, editing: Editing, trail: AuditTrail) -> None:
        """Approve one mail, with what the approver changed. Raises `NotFound`, `StateConflict`, `Invalid`."""
        edited = [name for name in EDITED if getattr(edits, name) is not None]
        content = seen = None
        if edited:
            with self._db.read() as conn:
                row = self.awaiting(conn, action)
                seen, scope = row.rendered, editing.scope(conn, row)
            content = editing.content(row, edits, scope)
        with self._db.write() as conn:
            row = self.awaiting(conn, action, hold=True)
            if edited and row.rendered != seen:
                raise StateConflict("the mail was changed meanwhile")
            self.approve(conn, [row], trail.actor, content)
            said = audited(row)
            after = {**said, "reason": None, "approved": True, "edited": edited}
            trail.note(conn, "action", action, before=said, after=after)
        self._due()

    def approve_several(self, ids: Sequence[str], trail: AuditTrail) -> dict[str, Any]:
        """Approve those of several mails that can be approved."""
        approved, left_out = [], []
        with self._db.write() as conn:
            rows = approvals.locked(conn, ids)
            for action in dict.fromkeys(ids):
                row = rows.get(action)
                reason = UndecidedReason.UNKNOWN if row is None else self.hindrance(conn, row)
                if row is None or reason is not None:
                    left_out.append({"id": action, "reason": reason, "sentence": _why(reason, row)})
                else:
                    approved.append(row)
            self.approve(conn, approved, trail.actor)
            done = [row.id for row in approved]
            if done:
                trail.note(conn, "action", "several", after={"approved": done})
        self._due()
        return {"approved": done, "left_out": left_out}

    def reject(self, action: str, why: str | None, trail: AuditTrail) -> None:
        """Reject a mail. Raises `NotFound`, `StateConflict`."""
        with self._db.write() as conn:
            row = self.awaiting(conn, action, hold=True)
            at, log_clock = self.moment(conn, row), self._times.log_clock
            approvals.reject(conn, row, trail.actor, why, at=at, log_clock=log_clock)
            said = audited(row)
            after = {**said, "status": "skipped", "reason": ActionReason.NOT_APPROVED}
            trail.note(conn, "action", action, before=said, after=after)
        self._due()


def router(
    db: Database,
    clock: Clock,
    times: Times,
    partitions: int,
    renderer: RenderPool,
    details: Details,
    due: Callable[[], None],
) -> APIRouter:
    """The routes. `due` is called when a mail may go out."""
    routes = APIRouter(tags=["actions"], route_class=JsonRoute)
    desk, editing = ApprovalDesk(db, clock, times, due), Editing(renderer, partitions)

    @routes.post(
        "/v1/actions/approve",
        response_model=ApprovedOut,
        summary="Approve several mails that await an approval",
    )
    def several(body: SeveralBody, trail: Trail, _: Principal = require("actions:write")) -> Response:
        """Approves those that can be approved, and says of each other one why it cannot."""
        return json_response(desk.approve_several(body.ids, trail))

    @routes.post(
        "/v1/actions/{action}/approve",
        response_model=ActionDetail,
        summary="Approve a mail that awaits an approval, and send it",
    )
    def approve(
        action: str, trail: Trail, body: ApproveBody = None, _: Principal = require("actions:write")
    ) -> Response:
        """The mail is due from now on. What the body gives is literal text: nothing in it is a template."""
        desk.approve_one(action, body or ApproveIn(), editing, trail)
        with db.read() as connection:
            return json_response(details.get(connection, action))

    @routes.post(
        "/v1/actions/{action}/reject",
        response_model=ActionDetail,
        summary="Reject a mail that awaits an approval: it is never sent",
    )
    def reject(
        action: str, trail: Trail, body: RejectBody = None, _: Principal = require("actions:write")
    ) -> Response:
        desk.reject(action, None if body is None else body.reason, trail)
        with db.read() as connection:
            return json_response(details.get(connection, action))

    return routes


def audited(row: Row[Any]) -> dict[str, Any]:
    """What the audit says of an action: nothing that tells of a person, or was written to one."""
    return {
        "account": row.account,
        "contact": row.contact,
        "play": row.play,
        "status": row.status,
        "reason": row.reason,
    }


def _why_not(row: Row[Any], reason: UndecidedReason | ActionReason) -> str:
    if reason is UndecidedReason.NOT_AWAITING:
        return f"the action is {row.status} and awaits no approval"
    if row.approve_until is not None:
        return "the time to approve the action is over"
    return f"the action is {row.status} ({reason}) and awaits no approval any more"


def _why(reason: UndecidedReason | ActionReason | None, row: Row[Any] | None) -> str:
    """Why an action was not approved, in words."""
    if isinstance(reason, UndecidedReason):
        return UNDECIDED[reason]
    return sentence(reason, case_of(row)) if reason is not None and row is not None else ""
