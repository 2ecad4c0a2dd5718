"""Lifecycle events about actions and tasks: their types, their ids, their data. Pure."""

from typing import Any, Protocol

from schemas.event import OWN_PREFIX, depth_after
from services.actions.plays.model import OwnEvent, event_id


class Told(Protocol):
    """What events tell about: an action or a task, as a row or in memory."""

    @property
    def id(self) -> str: ...
    @property
    def play(self) -> str: ...
    @property
    def playbook(self) -> str: ...
    @property
    def step(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def contact(self) -> str | None: ...


def about(
    kind: str,
    told: Told,
    *,
    time: int,
    depth: int | None,
    place: int | None,
    more: dict[str, Any] | None = None,
) -> OwnEvent:
    """The event about an action or the task that it made. `depth` and `place` are the play's.

    `depth` is None for what a person did by hand.
    """
    type_ = OWN_PREFIX + kind
    named = {"play": told.play, "playbook": told.playbook, "step": told.step, "action": told.id}
    # A task made by hand has no play.
    data: dict[str, Any] = {name: value for name, value in named.items() if value}
    data |= more or {}
    data["depth"] = 0 if depth is None else depth_after(type_, depth)
    if place is not None:
        data["place"] = place
    return OwnEvent(
        id=event_id(kind, told.id),
        type=type_,
        account=told.account,
        contact=told.contact,
        time=time,
        data=data,
    )
