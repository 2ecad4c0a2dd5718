"""Actions, plays, and what a playbook did, as `touchline test` compares them: with the fields that the API shows."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from schemas.endpoint import EndpointIn, secrets_of
from schemas.event import rfc3339
from schemas.playbook import PlaybookIn
from services.actions.channels.base import Target
from services.actions.channels.webhook.request import CannotBeWritten, request_of
from services.actions.impact.groups import groups_of
from services.actions.impact.verdict import judge
from services.actions.plays.memory_rows import MemoryAction
from services.actions.plays.model import Play

SECOND_US = 1_000_000
_MOMENTS = ("started_at", "ended_at", "goal_until", "goal_reached_at")
_FIELDS = ("id", "playbook", "rule", "account", "contact", "key", "tier", "status", "reason", "step")


def shown_action(action: MemoryAction, endpoint: EndpointIn | None = None) -> dict[str, Any]:
    """An action, with the fields of its content; `at` is when it began, else when its step ran.

    Of a webhook to this endpoint also `request`.
    """
    shown: dict[str, Any] = msgspec.to_builtins(action)
    rendered = shown.pop("rendered")
    begun_at = None if action.begun_at is None else rfc3339(action.begun_at)
    done_at = None if action.done_at is None else rfc3339(action.done_at)
    times = {"due_at": rfc3339(action.due_at), "begun_at": begun_at, "done_at": done_at}
    request = {}
    if endpoint is not None and action.channel == "webhook" and action.status == "done":
        request = {"request": shown_request(action, endpoint)}
    return {**rendered, **shown, **request, "at": begun_at or times["due_at"], **times}


def shown_request(action: MemoryAction, endpoint: EndpointIn) -> dict[str, Any]:
    """The request as it would leave; the text of its body. Without a secret in the file there is no signature."""
    fields = endpoint.model_dump(exclude_none=True)
    keys = secrets_of(fields)
    target = msgspec.convert(fields | {"secrets": keys, "sign": endpoint.sign and bool(keys)}, Target)
    client = None if target.auth is None else target.auth.oauth2
    token = None if client is None else f"(an access token of {client.token_url})"
    at = action.due_at if action.begun_at is None else action.begun_at
    try:
        request = request_of(target, action.id, at // SECOND_US, action.rendered, token)
    except CannotBeWritten as error:
        return {"refused": str(error)}
    return {**request._asdict(), "body": request.body.decode()}


def shown_play(play: Play) -> dict[str, Any]:
    """A play; `at` is when it started."""
    moments = {name: getattr(play, name) for name in _MOMENTS}
    return {
        **{name: getattr(play, name) for name in _FIELDS},
        "trigger": play.trigger_id,
        "at": rfc3339(play.started_at),
        **{name: None if at is None else rfc3339(at) for name, at in moments.items()},
    }


def shown_impact(playbook: PlaybookIn, plays: Iterable[Play], clock: int) -> dict[str, Any]:
    """What the playbook did, of these plays of it."""
    treated, held_out = groups_of(plays, clock)
    found = judge(treated, held_out, held_out=bool(playbook.holdout))
    return {"playbook": playbook.name, **found.shown()}


def fits(expected: Any, got: Any) -> bool:
    """Whether `got` has the values that `expected` gives; times may be written in any way."""
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(
            key in got and fits(value, got[key]) for key, value in expected.items()
        )
    if expected == got and isinstance(expected, bool) == isinstance(got, bool):
        return True
    moment = _moment(expected)
    return moment is not None and moment == _moment(got)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
