"""A trigger: one firing of a rule for one subject, as it travels on `touchline.triggers` and over the API."""

from typing import Any

import msgspec

from schemas.forwarding import Absorbed
from schemas.profile import Closing


class Position(msgspec.Struct, frozen=True):
    """A position in the log: the record at which something was decided."""

    partition: int
    offset: int


class TriggerEvent(msgspec.Struct):
    """The event of a trigger."""

    id: str
    source: str
    type: str
    time: str
    data: Any = None


class Window(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """The window over which a value was measured."""

    from_: str
    to: str


class Trigger(msgspec.Struct, kw_only=True):
    """A trigger. Times are in RFC 3339, UTC."""

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
    # Of the rule; with `contact`, the subject is the contact, else the account (split by key).
    scope: str = "account"


class Progress(msgspec.Struct, frozen=True):
    """How far rules has come in a partition: every trigger at a position before `offset` has been written."""

    partition: int
    offset: int
    clock: int


class Moved(msgspec.Struct, frozen=True, omit_defaults=True):
    """What rules decided about a merge: the account was `closed` or reopened, or absorbed another one."""

    account: str
    position: Position
    closed: Closing | None = None
    absorbed: Absorbed | None = None


class TriggerRecord(msgspec.Struct, omit_defaults=True):
    """The value of a record in `touchline.triggers`. Exactly one of the three fields is set."""

    trigger: Trigger | None = None
    progress: Progress | None = None
    moved: Moved | None = None
