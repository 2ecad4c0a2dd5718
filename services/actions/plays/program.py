"""A playbook made ready to run: each tier's steps as a flat list, with compiled conditions and event matchers.

A play remembers only the id of the step it stands at. Ids stay valid, since a play keeps its version of the playbook.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.conditions.keys import key_text
from schemas.conditions.model import Scope, compile_condition
from schemas.duration import parse_duration
from schemas.event import DAY_US, Event, is_reserved
from schemas.playbook import EventMatch, PlaybookIn, Step, WaitDate, WaitEvent
from services.actions.plays.value_paths import Getter, getter

END = -1
HELD_FOR = 7 * DAY_US
HOUR = DAY_US // 24  # within which the default limit counts

Condition = Callable[[Scope], bool]


@dataclass(frozen=True)
class Matcher:
    """Decides whether an event ends a play or a wait."""

    types: frozenset[str]
    every: bool  # "*": every type that is not reserved
    where: Condition | None
    by: Getter | None

    def matches(self, scope: Scope, event: Event, key: str | None) -> bool:
        """Whether this event counts for a play whose trigger has this key; `scope` is for the condition."""
        if event.type not in self.types and not (self.every and not is_reserved(event.type)):
            return False
        if self.by is not None and (key is None or key_text(self.by(scope)) != key):
            return False
        return self.where is None or self.where(scope)


@dataclass(frozen=True)
class Instruction:
    """A step in its place: where the play goes on (`END`: nowhere), and for a branch, where its two ways begin."""

    id: str
    step: Step
    next: int
    then: int = END
    otherwise: int = END
    condition: Condition | None = None
    until: Matcher | None = None
    on_until: str = "continue"
    date: Getter | None = None


@dataclass(frozen=True)
class Program:
    """The steps of one tier; the first instruction is at `start` (`END` for a tier without steps)."""

    instructions: tuple[Instruction, ...]
    start: int
    places: dict[str, int] = field(default_factory=dict)
    templates: frozenset[str] = frozenset()

    def at(self, step: str) -> Instruction:
        """The instruction with this step id."""
        return self.instructions[self.places[step]]


@dataclass(frozen=True)
class Limit:
    """How many plays may begin within a time; `plays` None: the default number."""

    plays: int | None
    within: int


@dataclass(frozen=True)
class CompiledGoal:
    """The events that reach a play's goal, and how long after the trigger they count (microseconds)."""

    matcher: Matcher
    within: int


@dataclass(frozen=True)
class Playbook:
    """A version of a playbook, ready to run."""

    name: str
    version: int
    topic: str
    exits: tuple[Matcher, ...]
    watched: tuple[str, ...]  # paths; a play ends when the value at one of them changes
    programs: dict[str, Program]
    limit: Limit | None = None  # None: any number of plays may begin
    held_for: int = HELD_FOR  # how long a play of it is held at most
    unhealthy: str | None = None  # why this version cannot be run (see `set_aside`)
    holdout: float = 0  # per cent of the accounts that it leaves alone
    goal: CompiledGoal | None = None
    priority: int | None = None  # of its mails; None: the default

    def matchers(self) -> Iterable[Matcher]:
        """Every matcher of its exits, its goal and its waits."""
        yield from self.exits
        if self.goal is not None:
            yield self.goal.matcher
        for program in self.programs.values():
            yield from (one.until for one in program.instructions if one.until is not None)


def compile_playbook(version: int, doc: PlaybookIn) -> Playbook:
    """Make a playbook ready to run."""
    return Playbook(
        name=doc.name,
        version=version,
        topic=doc.topic,
        exits=tuple(_matcher(match) for match in doc.exits if isinstance(match, EventMatch)),
        watched=doc.watched,
        limit=_limit(doc),
        held_for=HELD_FOR if doc.held_for is None else parse_duration(doc.held_for),
        programs={tier: _program(steps) for tier, steps in doc.by_tier().items()},
        holdout=doc.holdout or 0,
        priority=doc.priority,
        goal=None if doc.goal is None else CompiledGoal(_matcher(doc.goal), parse_duration(doc.goal.within)),
    )


def _limit(doc: PlaybookIn) -> Limit | None:
    """The limit of a playbook: left out, the default one; null, none."""
    if doc.limit is not None:
        return Limit(doc.limit.plays, parse_duration(doc.limit.within))
    return None if "limit" in doc.model_fields_set else Limit(None, HOUR)


def set_aside(name: str, version: int, doc: Mapping[str, Any], why: str) -> Playbook:
    """A version that was saved once and cannot be read now. It has no steps; any event that it names may be an exit."""
    types = frozenset(_events_in({name: value for name, value in doc.items() if name != "goal"}))
    exits = (Matcher(types - {"*"}, every="*" in types, where=None, by=None),)
    topic = str(doc.get("topic", "lifecycle"))
    return Playbook(name, version, topic=topic, exits=exits, watched=(), programs={}, unhealthy=why)


def _events_in(value: Any) -> Iterator[str]:
    """The event types that stand under `event`, at any depth."""
    if isinstance(value, Mapping):
        named = value.get("event")
        yield from (one for one in (named if isinstance(named, list) else [named]) if isinstance(one, str))
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _events_in(one)


def _matcher(match: EventMatch) -> Matcher:
    return Matcher(
        types=frozenset(match.types) - {"*"},
        every="*" in match.types,
        where=None if match.where is None else compile_condition(match.where),
        by=None if match.by is None else getter(match.by),
    )


def _program(steps: list[Step]) -> Program:
    built: list[Instruction] = []
    start = _lay(built, steps, "", END)
    return Program(
        instructions=tuple(built),
        start=start,
        places={one.id: place for place, one in enumerate(built)},
        templates=frozenset(_templates(built)),
    )


def _templates(built: Iterable[Instruction]) -> Iterator[str]:
    """The names of the saved templates that the steps use."""
    for one in built:
        if one.step.words is not None:
            _, words = one.step.words
            yield from (name for kind, name, _ in words.references() if kind == "template")


def _lay(built: list[Instruction], steps: list[Step], prefix: str, after: int) -> int:
    """Append the steps, last first, so that each instruction knows where to go on; returns the first one's place."""
    following = after
    for place in range(len(steps) - 1, -1, -1):
        step = steps[place]
        name = step.id or f"{prefix}{place}"
        if step.branch is not None:
            then = _lay(built, step.branch.then, f"{name}.then.", following)
            otherwise = _lay(built, step.branch.else_, f"{name}.else.", following)
            condition = compile_condition(step.branch.if_)
            one = Instruction(name, step, following, then, otherwise, condition)
        elif isinstance(step.wait, WaitEvent):
            one = Instruction(name, step, following, until=_matcher(step.wait.until), on_until=step.wait.then)
        elif isinstance(step.wait, WaitDate):
            one = Instruction(name, step, following, date=getter(step.wait.until_date))
        else:
            one = Instruction(name, step, following)
        built.append(one)
        following = len(built) - 1
    return following
