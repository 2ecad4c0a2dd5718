"""The base of the oracle's trigger kinds: each is a class that overrides the answers in which it differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.oracle.alive import Source
from tests.oracle.history import Account, Arrived
from tests.oracle.windows import Scene, Subject

JSON = dict[str, Any]
Step = tuple[int, int]  # the clock's move: (from, to], in us


@dataclass
class Hold:
    """A member held at `at` (us): at an event, or at a moment (`event` is then the one that armed it)."""

    at: int
    event: Arrived | None
    moment: bool
    value: Fraction | None = None
    threshold: Any = None
    evidence: list[str] = field(default_factory=list)
    figures: dict[str, Fraction] | None = None


@dataclass
class Memory:
    """What one rule did for one subject; never the events that it counted."""

    last: int | None = None
    fired: set[Any] = field(default_factory=set)  # places of events, moments
    been: set[Any] = field(default_factory=set)  # a kind's moments that were decided: (member, …)
    held: dict[int, set[int]] = field(default_factory=dict)  # all_of: by member, the times it held at
    known: set[Any] = field(default_factory=set)  # arms that were looked at before: (member, arm, tier)
    late: set[Any] = field(default_factory=set)  # arms past when they became known, that wait: (member, arm)


class Standing(NamedTuple):
    """How near a member is to holding now. `event`: the one that armed it."""

    holds: bool
    share: Fraction
    value: Fraction | None = None
    threshold: Any = None
    due: int | None = None
    event: Arrived | None = None


class Story(NamedTuple):
    """A kind's body, the events `("01-10T09:00", type, data)` of one account, and the time at which the clock ends."""

    body: JSON
    events: tuple[tuple[str, str, JSON], ...]
    until: str


@dataclass(frozen=True)
class Part:
    """One member of a rule for one account, with everything as it is right now."""

    rule: JSON
    index: int
    body: JSON
    account: Account
    view: JSON
    scene: Callable[[Subject], Scene]
    memory: Callable[[Subject], Memory]
    source: Source | None = None  # what guards the rule
    overdue: bool = False  # moments are looked at because an event, an update or a save may have brought some

    @property
    def per_contact(self) -> bool:
        """Whether the rule counts per contact."""
        return bool(self.rule.get("scope", "account") == "contact")


class Kind(ABC):
    """A trigger kind of the oracle."""

    restarts_on: tuple[str, ...] = ()  # if one of these fields changes, the state starts anew
    restarts_if_longer: tuple[str, ...] = ()  # if one of these spans grows, the state starts anew
    split = True  # scope and `by` make sense for this kind
    fires: Story
    does_not_fire: Story  # nearly the same as `fires`
    has_value = False  # its triggers have a value
    has_evidence = False  # its triggers name the events they counted

    def looks_at(self, body: JSON, at: int) -> list[tuple[int, int]]:
        """The windows on which a tick rests."""
        return []

    def may_hold(self, scene: Scene, at: int) -> bool:
        """Whether a tick could hold, as far as is known when it comes: only then it waits for a heartbeat."""
        return False

    @abstractmethod
    def rules(self) -> st.SearchStrategy[JSON]:
        """A strategy for `when`s of this kind."""

    @abstractmethod
    def default_cooldown(self, body: JSON, tier: str | None) -> str:
        """The cooldown of a rule that names none: a duration, `0s` or `once`."""

    def ticks(self, body: JSON) -> bool:
        """Whether a rule with this body is decided at the daily tick."""
        return False

    def at_event(self, part: Part, event: Arrived, before: JSON | None) -> Iterable[tuple[Subject, Hold]]:
        """What holds at an event, or because of it at other events, by subject.

        `before`: the account before an update.
        """
        return ()

    @abstractmethod
    def stands(self, scene: Scene, now: int) -> Standing | None:
        """How near the member is to holding at `now`; None if there is nothing to measure."""

    def at_tick(self, scene: Scene, at: int) -> Hold | None:
        """The hold at a daily tick; None if the member does not hold."""
        return None

    def moments(self, part: Part, step: Step, *, silent: bool) -> Iterator[tuple[Subject, Hold]]:
        """What holds at the kind's own moments that the clock's step reaches or has passed already, by subject."""
        yield from ()
