"""`POST /v1/actions/{id}/retry`: an action that ended is sent again, by hand."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection, Row

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import NotFound, StateConflict
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.audit import Trail
from backbone.web.json_route import JsonRoute, example
from schemas.fields import EmptyBody
from schemas.play import ActionDetail
from schemas.play_reasons import ActionReason
from schemas.profile import is_vouched
from services.actions.api.approval import audited
from services.actions.api.details import Details
from services.actions.api.new_task import profile_of
from services.actions.api.plays import Times
from services.actions.channels import CHANNELS
from services.actions.storage import by_hand

RetryBody = Annotated[EmptyBody | None, example({})]
ENDED = frozenset({"failed", "uncertain", "skipped"})
FINAL = frozenset({ActionReason.PLAY_EXITED.value, ActionReason.NOT_APPROVED.value})


def router(
    db: Database, clock: Clock, times: Times, partitions: int, details: Details, due: Callable[[], None]
) -> APIRouter:
    """The route. `due` is called when an action is due again."""
    routes = APIRouter(tags=["actions"], route_class=JsonRoute)

    @routes.post(
        "/v1/actions/{action}/retry",
        response_model=ActionDetail,
        summary="Send an email or a webhook again that failed, was skipped, or is uncertain",
    )
    def retry(
        action: str, trail: Trail, _body: RetryBody = None, _: Principal = require("actions:write")
    ) -> Response:
        """Sends the same content under the same id, on a schedule that begins anew. A suppression holds all the same.
        An `uncertain` one may arrive twice.
        """
        with db.write() as connection:
            found = by_hand.locked(connection, action)
            if found is None:
                raise NotFound(f"there is no action {action!r}")
            row, play = found
            why = _hindrance(row, play) or _nobody(connection, row, partitions)
            if why is not None:
                raise StateConflict(why)
            at = max(times.now(connection, row.partition), row.due_at)
            by_hand.retry(connection, row, at=at, now=clock.now(), log_clock=times.log_clock)
            said = audited(row)
            trail.note(
                connection, "action", action, before=said, after={**said, "status": "pending", "reason": None}
            )
            shown = details.get(connection, action)
        due()
        return json_response(shown)

    return routes


def _hindrance(row: Row[Any], play: str | None) -> str | None:
    """Why an action is not sent again, whoever it is for; `play` is the status of its play."""
    if CHANNELS[row.channel].makes_tasks:
        return "a task is not sent; make another one with POST /v1/tasks"
    if row.status not in ENDED:
        return f"the action is {row.status}; only one that is failed, uncertain or skipped can be sent again"
    if row.reason in FINAL:
        return f"the action was skipped ({row.reason}), and that is final"
    if play == "exited":
        return "its play has ended early, and nothing more of it is sent"
    if row.recipient is None or row.rendered is None:
        return f"there is nobody to write to, or nothing to send ({row.reason})"
    return None


def _nobody(connection: Connection, row: Row[Any], partitions: int) -> str | None:
    """Why the person whom a mail is for is not written to any more."""
    if not CHANNELS[row.channel].needs_consent or row.contact is None:
        return None
    profile = profile_of(connection, row.account, partitions)
    contact = None if profile is None else profile.contacts.get(row.contact)
    if profile is None or contact is None:
        return f"the account has no contact {row.contact!r} any more"
    if not contact.active:
        return f"the contact {row.contact!r} is not active"
    return None if is_vouched(profile, contact) else f"nobody vouches for the contact {row.contact!r}"
