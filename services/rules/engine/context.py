"""What is being decided right now.

Each partition has one `Context`. The engine refills it for each event or moment, and kinds read it as a
`Situation` (see docs/decisions/0014).
"""

from collections.abc import Mapping

from schemas.conditions.codegen import Scope
from schemas.event import Event
from services.rules.engine.account_state import AccountState
from services.rules.engine.heartbeats import Heartbeat

NO_HEARTBEATS: Mapping[str, Heartbeat] = {}


class Context:
    """The account and the event that are being decided; at a moment the event is None. Times are in microseconds."""

    __slots__ = (
        "event",
        "heartbeats",
        "now",
        "offset",
        "past",
        "position",
        "scope",
        "silent",
        "state",
        "time",
    )

    state: AccountState
    event: Event | None
    time: int  # of the event, or the moment itself
    offset: int  # of the event, or MOMENT
    silent: bool  # a historical or late event: it counts, but nothing fires by it
    now: int  # the partition's clock
    past: bool  # of a moment: the clock had passed it before it became known
    position: int  # the last record applied: the position at which a trigger is said to have been decided
    scope: Scope
    heartbeats: Mapping[str, Heartbeat]  # of the partition, by the key of their clause

    def __init__(self) -> None:
        self.scope = Scope()
        self.event = None
        self.heartbeats = NO_HEARTBEATS
