"""A trigger: one firing of a rule for one subject, as it travels on `touchline.triggers` and over the API."""

from typing import Any

import msgspec

from schemas.forwarding import Absorbed
from schemas.profile import Closing


class Position(msgspec.Struct, frozen=True):
    """A place in the log: the record at which something was decided."""

    partition: int
    offset: int


class TriggerEvent(msgspec.Struct):
    """What a trigger shows of its event; `time` is RFC 3339."""

    id: str
    source: str
    type: str
    time: str
    data: Any = None


class Window(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """What a value was measured over."""

    from_: str
    to: str


class Trigger(msgspec.Struct, kw_only=True):
    """Fields as in the contract, section 6; times are RFC 3339 texts in UTC."""

    id: str
    rule: str
    rule_version: int
    account: str
    contact: str | None = None
    key: str | None = None
    tier: str
    at: str
    event_id: str | None = None
    event: TriggerEvent | None = None
    value: int | float | None = None
    value_exact: bool = True
    window: Window | None = None  # of a threshold as `explain` gives it; of a trend the recent span
    threshold: int | float | str | None = None
    reason: str
    playbook: str | None = None
    evidence: list[str] = []
    position: Position
    figures: dict[str, int | float] | None = None
    shadow: bool = False
    depth: int = 0  # of the event that it fired at, or that armed the timer (see `schemas.event.depth_of`)
    scope: str = (
        "account"  # of the rule; with `contact`, the subject is the contact, else the account (split by key)
    )


class Progress(msgspec.Struct, frozen=True):
    """How far rules has come in a partition: every trigger at a place before `offset` has been written."""

    partition: int
    offset: int
    clock: int


class Moved(msgspec.Struct, frozen=True, omit_defaults=True):
    """What rules decided about a merge at a place: the account was `closed`, opened anew, or took another one in."""

    account: str
    position: Position
    closed: Closing | None = None
    absorbed: Absorbed | None = None


class TriggerRecord(msgspec.Struct, omit_defaults=True):
    """The value of a record of `touchline.triggers`: exactly one of the three."""

    trigger: Trigger | None = None
    progress: Progress | None = None
    moved: Moved | None = None
