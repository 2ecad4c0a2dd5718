"""What is being decided right now. One `Context` serves a partition, changed from event to event."""

from collections.abc import Callable
from typing import Any

from schemas.conditions.codegen import Scope
from schemas.event import Event
from services.rules.engine.account_state import AccountState, Arming, Subject, SubjectKey
from services.rules.engine.windows.fixed_point import Value

MOMENT = -1  # the offset of a hold that no event decided


class Context:
    """The account and the event (None at a moment) at hand. Times in microseconds."""

    __slots__ = (
        "before",
        "event",
        "now",
        "offset",
        "past",
        "position",
        "retick",
        "scope",
        "silent",
        "state",
        "time",
        "watched",
    )

    state: AccountState
    event: Event | None
    time: int  # of the event, or the moment
    offset: int  # of the event, or MOMENT
    silent: bool  # a historical or late event: it counts, but nothing fires by it
    now: int  # the clock
    past: bool  # at a moment: it lay behind the clock already when it became known
    position: int  # the last record applied: where a trigger is said to have been decided
    retick: bool  # what the event brought may be decided at an earlier tick than the one put down
    scope: Scope
    watched: dict[int, list[SubjectKey]]  # while moments are scheduled anew: absence parts' slots to subjects
    before: dict[
        int, frozenset[str | None]
    ]  # `becomes` parts' slots to the contacts they held for before the update

    def __init__(self) -> None:
        self.scope = Scope()
        self.before, self.watched = {}, {}
        self.event = None
        self.retick = False


class Match:
    """A rule's condition holds for a subject at a time: of an event (`offset`), or at a moment."""

    __slots__ = ("arming", "at", "evidence", "figures", "offset", "subject", "threshold", "value", "window")

    def __init__(
        self,
        at: int,
        offset: int,
        subject: Subject,
        *,
        value: Value | None = None,
        threshold: Any = None,
        evidence: Callable[[], list[int]] | None = None,
        arming: Arming | None = None,
        figures: dict[str, Value] | None = None,
        window: tuple[int, int] | None = None,
    ) -> None:
        self.at, self.offset, self.subject = at, offset, subject
        self.value, self.threshold, self.evidence = value, threshold, evidence
        self.arming, self.figures, self.window = arming, figures, window
