"""Lifecycle events about actions and tasks: their types, their ids, their data. Pure."""

from typing import Any

from schemas.event import OWN_PREFIX, depth_after
from services.actions.plays.model import OwnEvent, event_id


def about(
    kind: str,
    *,
    action: str,
    play: str,
    playbook: str,
    step: str,
    account: str,
    contact: str | None,
    time: int,
    depth: int | None,
    place: int | None,
    more: dict[str, Any] | None = None,
) -> OwnEvent:
    """The event about an action or the task that it made. `depth` and `place` are the play's.

    `depth` is None for what a person did by hand.
    """
    type_ = OWN_PREFIX + kind
    named = {"play": play, "playbook": playbook, "step": step, "action": action}
    # A task made by hand has no play.
    data: dict[str, Any] = {name: value for name, value in named.items() if value}
    data |= more or {}
    data["depth"] = 0 if depth is None else depth_after(type_, depth)
    if place is not None:
        data["place"] = place
    return OwnEvent(
        id=event_id(kind, action),
        type=type_,
        account=account,
        contact=contact,
        time=time,
        data=data,
    )
