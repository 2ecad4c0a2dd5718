"""What the oracle knows of every trigger kind: each is a class with what differs from these answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.oracle.history import Account, Arrived
from tests.oracle.windows import Scene, Subject

JSON = dict[str, Any]
Step = tuple[int, int]  # the clock's move: (from, to], in us


@dataclass
class Hold:
    """A member held at `at`: of an event, or of a moment (`event` is then the one that armed it)."""

    at: int
    event: Arrived | None
    moment: bool
    value: Fraction | None = None
    threshold: Any = None
    evidence: list[str] = field(default_factory=list)
    figures: dict[str, Fraction] | None = None


@dataclass
class Memory:
    """What one rule must remember of one subject: what it did, never what it counted."""

    last: int | None = None
    fired: set[Any] = field(default_factory=set)  # places of events, moments
    been: set[Any] = field(default_factory=set)  # of a kind's moments: (member, …) that were decided
    held: dict[int, set[int]] = field(default_factory=dict)  # all_of: member -> moments it held at


class Story(NamedTuple):
    """A body, events as `("01-10T09:00", type, data)` of one account, and where the clock ends."""

    body: JSON
    events: tuple[tuple[str, str, JSON], ...]
    until: str


@dataclass(frozen=True)
class Part:
    """One member of a rule for an account, as everything stands right now."""

    rule: JSON
    index: int
    body: JSON
    account: Account
    view: JSON
    scene: Callable[[Subject], Scene]
    memory: Callable[[Subject], Memory]

    @property
    def per_contact(self) -> bool:
        """Whether the rule counts per contact."""
        return bool(self.rule.get("scope", "account") == "contact")


class Kind(ABC):
    """A trigger kind."""

    restarts_on: tuple[str, ...] = ()  # fields whose change makes the state start anew
    restarts_if_longer: tuple[str, ...] = ()  # spans that may not grow without that
    split = True  # scope and `by` make sense for it
    fires: Story
    does_not_fire: Story  # all but the same
    has_value = False  # its triggers have a value
    has_evidence = False  # its triggers name the events they counted

    @abstractmethod
    def rules(self) -> st.SearchStrategy[JSON]:
        """Generated `when`s of this kind."""

    @abstractmethod
    def default_cooldown(self, body: JSON, tier: str | None) -> str:
        """What holds where a rule names no cooldown: a duration, `0s` or `once`."""

    def ticks(self, body: JSON) -> bool:
        """Whether it is decided at the daily tick."""
        return False

    def at_event(self, part: Part, event: Arrived, before: JSON | None) -> Iterable[tuple[Subject, Hold]]:
        """What holds at an event (or by it, at an earlier one); `before`: the account before an update."""
        return ()

    def at_tick(self, scene: Scene, at: int) -> Hold | None:
        """Whether it holds at a daily tick."""
        return None

    def moments(self, part: Part, step: Step, *, silent: bool) -> Iterator[tuple[Subject, Hold]]:
        """What holds at moments of its own that the clock's move comes to, or that are past already."""
        yield from ()
