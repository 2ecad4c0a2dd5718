"""Actions, plays, and what a playbook did, as `touchline test` compares them: with the fields that the API shows."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from schemas.event import rfc3339
from schemas.playbook import PlaybookIn
from services.actions.impact.groups import groups_of
from services.actions.impact.verdict import judge
from services.actions.plays.memory_rows import MemoryAction
from services.actions.plays.model import Play

_MOMENTS = ("started_at", "ended_at", "goal_until", "goal_reached_at")
_FIELDS = ("id", "playbook", "rule", "account", "contact", "key", "tier", "status", "reason", "step")


def shown_action(action: MemoryAction) -> dict[str, Any]:
    """An action, with the fields of its content; `at` is when it began, else when its step ran."""
    shown: dict[str, Any] = msgspec.to_builtins(action)
    rendered = shown.pop("rendered")
    begun_at = None if action.begun_at is None else rfc3339(action.begun_at)
    done_at = None if action.done_at is None else rfc3339(action.done_at)
    times = {"due_at": rfc3339(action.due_at), "begun_at": begun_at, "done_at": done_at}
    return {**rendered, **shown, "at": begun_at or times["due_at"], **times}


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
