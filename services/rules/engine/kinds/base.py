"""The interface of every trigger kind: the calls that the engine makes, and the traits it reads to compile a rule.

A kind gets its body (its words), the slot of its state and the subjects that the rule counts for. It knows nothing
else of the rule.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from schemas.conditions.codegen import Scope
from schemas.event import Event
from schemas.reasons import Reason
from schemas.trigger_kinds.base import KindWords
from services.rules.engine.account_state import AccountState, Subject, SubjectKey
from services.rules.engine.event_filter import EventFilter
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.kind_state import Arming, KindState
from services.rules.engine.subjects import Subjects
from services.rules.engine.windows.fixed_point import Value
from services.rules.engine.windows.series import drop_before

MOMENT = -1  # the offset of a match that no event decided
NOW = -2  # the offset of an event that would come now


class Match:
    """A rule's condition holds for a subject at a time: at an event (`offset`), or at a moment."""

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


class Arrived(NamedTuple):
    """The result of an event: the member's matches, and whether a daily tick may decide sooner than scheduled."""

    matches: Sequence[Match] = ()
    retick: bool = False


NOTHING = Arrived()
RETICK = Arrived(retick=True)


class Verdict(NamedTuple):
    """Whether a member holds for a subject now, and the reason (for `explain`). Times are in microseconds."""

    holds: bool
    reason: Reason
    hold: Match | None = None
    value: Any = None
    threshold: Any = None
    window: tuple[int, int] | None = None
    evidence: list[int] | None = None
    next_check: int | None = None
    figures: dict[str, Value] | None = None
    armed: int | None = None  # when the wait for a moment began


class Share(NamedTuple):
    """How near a member is to holding for a subject now; from a share of 1 on it is there. Times in microseconds.

    `holds` is apart from it: `above` does not hold at its threshold, whose share is 1.
    """

    holds: bool
    share: float
    value: Any = None
    threshold: Any = None
    due: int | None = None  # the deadline, or the date's moment
    arming: Arming | None = None
    evidence: Callable[[], list[int]] | None = None
    shows: bool = False  # a trigger shows the newest event of the evidence
    window: tuple[int, int] | None = None
    figures: dict[str, Value] | None = None


class Situation(Protocol):
    """What is being decided. Kinds read it and change nothing but `state`. Times are in microseconds."""

    @property
    def state(self) -> AccountState: ...
    @property
    def scope(self) -> Scope: ...
    @property
    def event(self) -> Event | None: ...  # None at a moment
    @property
    def time(self) -> int: ...  # of the event, or the moment itself
    @property
    def offset(self) -> int: ...  # of the event, or MOMENT
    @property
    def now(self) -> int: ...  # the partition's clock
    @property
    def silent(self) -> bool: ...  # a historical or late event: it counts, but nothing fires by it
    @property
    def past(self) -> bool: ...  # of a moment: the clock had passed it before it became known
    @property
    def heartbeats(self) -> Mapping[str, Heartbeat]: ...  # of the partition, by the key of their clause


class TriggerKind(ABC):
    """A compiled member of a rule. Every kind must define what is abstract here or has no value."""

    name: ClassVar[str]
    words: ClassVar[type[KindWords]]
    reasons: ClassVar[frozenset[Reason]]  # all reasons that its triggers and verdicts may give
    state: ClassVar[type[KindState] | None]  # the state of a subject, besides its series; None: there is none
    # Every field of the words is in one of these three. They say what a save of the rule does to the kept
    # state:
    restarts_on: ClassVar[tuple[str, ...]]  # another value: the state starts over
    restarts_if_longer: ClassVar[tuple[str, ...]]  # a longer span, or none: the state starts over
    keeps: ClassVar[tuple[str, ...]]  # the state stays as it is
    dated: ClassVar[bool] = False  # an update may move its moments
    compares: ClassVar[bool] = False  # its `before` is called before an update is applied

    slot: int
    reason: Reason  # of its triggers
    ticks: bool  # decided at the daily tick
    moments: bool  # has moments of its own (deadlines, dates)
    width: int = 2  # integers per record of its series
    look_back: int | None = None  # microseconds of its series that a check looks at; None: all of them
    late: int = 0  # microseconds by which a moment may be past and still run
    alive: str | None = None  # the key of the rule's `alive` clause

    @abstractmethod
    def __init__(self, body: Any, slot: int, subjects: Subjects) -> None:
        """Compile the kind's words."""

    @abstractmethod
    def selectors(self) -> Iterable[EventFilter]:
        """The filters of the events that the kind must see."""

    @abstractmethod
    def arrive(self, ctx: Situation, before: Any) -> Arrived:
        """Handle an event; returns the matches, at this event or at a later one that it completes."""

    @abstractmethod
    def verdict(self, ctx: Situation, subject: Subject) -> Verdict:
        """Whether the member holds at `ctx.now`."""

    @abstractmethod
    def share(self, state: AccountState, subject: Subject, now: int) -> Share | None:
        """How near the member is to holding at `now`, by windows that end then, whether or not it has fired.

        None: there is nothing to measure (a tier that is not covered, no value, nothing that armed it).
        """

    def guarded_share(
        self, state: AccountState, subject: Subject, now: int, heart: Heartbeat
    ) -> Share | None:
        """The share of a rule with `alive`: it does not hold where a silence makes it unsure."""
        found = self.share(state, subject, now)
        unsure = now >= heart.silent_from or heart.was_silent(now, self.looks_at(now))
        return found._replace(holds=False) if found is not None and unsure else found

    def before(self, ctx: Situation) -> Any:
        """What `arrive` gets to know of the time before an update is applied, if the kind `compares`."""
        return None

    def schedule(self, ctx: Situation, kept: Iterable[SubjectKey]) -> None:  # noqa: B027 - most have none
        """Put every moment ahead (or overdue) onto the agenda of `ctx.state`. `kept`: the subjects with a state."""

    def falls_due(self, ctx: Situation, key: SubjectKey) -> list[Match]:
        """The matches of this subject's moments that are due at `ctx.time`."""
        return []

    def first_tick(self, ctx: Situation) -> int | None:
        """The earliest time at which a daily tick could make the member hold; None: never, as things stand."""
        return None

    def tick(self, ctx: Situation) -> list[Match]:
        """The matches at the daily tick at `ctx.time`."""
        return []

    def sweep(self, state: AccountState, key: SubjectKey, floor: int) -> None:  # noqa: B027 - some keep none
        """Drop the subject's state if no event or moment from `floor` on can need it. Kinds with a `state` say how."""

    def sweep_series(self, state: AccountState, key: SubjectKey, floor: int) -> None:
        """Drop the records that no check from `floor` on can count."""
        if self.look_back is not None:
            drop_before(state.stores[key], self.width, floor - self.look_back)
        if not state.stores[key]:
            del state.stores[key]

    def heartbeat(self, ctx: Situation) -> Heartbeat | None:
        """What guards the member; None if nothing does, or if no such event has ever come."""
        found = ctx.heartbeats.get(self.alive) if self.alive is not None else None
        return found if found is not None and found.ends else None

    def looks_at(self, at: int) -> Iterable[tuple[int, int]]:
        """The windows that a check at a daily tick rests on; none of them may be silent for long."""
        return [] if self.look_back is None else [(at - self.look_back, at)]

    def kept(self, state: AccountState) -> dict[SubjectKey, Any]:
        """The account's states of this kind, by subject, including those of other rules' members of this kind."""
        return state.kept_by(self.name)


def series(state: AccountState, key: SubjectKey) -> "array[int]":
    """The subject's series in `stores`, created if there is none yet."""
    found = state.stores.get(key)
    if found is None:
        found = state.stores[key] = array("q")
    return found


def check_kind(kind: type[TriggerKind], words: type[KindWords]) -> None:
    """Raises `TypeError` for an incomplete kind when the register is made, rather than when a rule fires."""
    lacking = sorted(kind.__abstractmethods__)
    classwide = ("words", "reasons", "state", "restarts_on", "restarts_if_longer", "keeps")
    lacking += [one for one in classwide if not hasattr(kind, one)]
    if lacking:
        raise TypeError(f"trigger kind {kind.name} lacks {', '.join(lacking)}")
    if kind.words is not words:
        raise TypeError(f"trigger kind {kind.name} has the words {kind.words.__name__}, not {words.__name__}")
    said = [*kind.restarts_on, *kind.restarts_if_longer, *kind.keeps]
    if sorted(said) != sorted(words.model_fields):
        wrong = sorted(set(said) ^ set(words.model_fields)) or sorted(
            name for name in said if said.count(name) > 1
        )
        raise TypeError(f"trigger kind {kind.name} has to say once what a save of {', '.join(wrong)} does")
    if kind.state is not None:
        lacking += ["sweep"] if kind.sweep is TriggerKind.sweep else []
        lacking += ["its state's forget"] if kind.state.forget is KindState.forget else []
    if kind.compares and kind.before is TriggerKind.before:
        lacking.append("before")
    made = kind(words.model_validate(words.example), 0, Subjects())
    lacking += [one for one in ("reason", "ticks", "moments") if not hasattr(made, one)]
    if getattr(made, "reason", None) not in kind.reasons:
        lacking.append("its reason among its reasons")
    if getattr(made, "ticks", False) and kind.tick is TriggerKind.tick:
        lacking.append("tick")
    if getattr(made, "moments", False) and kind.falls_due is TriggerKind.falls_due:
        lacking.append("falls_due")
    if lacking:
        raise TypeError(f"trigger kind {kind.name} lacks {', '.join(lacking)}")
