"""Plays, and what a playbook did, as `touchline test` compares them: with the fields that the API shows."""

from collections.abc import Iterable
from typing import Any

from schemas.event import rfc3339
from schemas.playbook import PlaybookIn
from services.actions.impact.groups import groups_of
from services.actions.impact.verdict import judge
from services.actions.plays.model import Play

_MOMENTS = ("started_at", "ended_at", "goal_until", "goal_reached_at")
_FIELDS = ("id", "playbook", "rule", "account", "contact", "key", "tier", "status", "reason", "step")


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
