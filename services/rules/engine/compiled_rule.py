"""A rule in force: its members, and the one judgement that every trigger passes.

Order: the condition holds (its kind says so, for a tier that is covered) -> this event has not fired the rule ->
cooldown -> where -> unless -> it fires.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from schemas.conditions.codegen import Scope
from schemas.conditions.keys import key_text
from schemas.conditions.model import compile_condition, paths_of
from schemas.event import LOOP_DEPTH, Event, depth_of
from schemas.reasons import Reason
from schemas.rule import RuleIn
from services.rules.engine.account_state import AccountState, Subject, SubjectKey, subject_key
from services.rules.engine.context import MOMENT, Context, Match
from services.rules.engine.event_filter import EventFilter, value_getter
from services.rules.engine.per_tier import cooldowns
from services.rules.engine.windows.fixed_point import Value

if TYPE_CHECKING:
    from services.rules.engine.kinds.all_of import AllOf
    from services.rules.engine.kinds.threshold import Threshold

ALL: Subject = (None, None)


class Verdict(NamedTuple):
    """Whether a member holds for a subject now, and why (for `explain`)."""

    holds: bool
    reason: Reason
    hold: Match | None = None
    value: Any = None
    threshold: Any = None
    window: tuple[int, int] | None = None
    evidence: list[int] | None = None
    next_check: int | None = None
    figures: dict[str, Value] | None = None


class TriggerKind(Protocol):
    """What one file of `kinds/` provides: how a member counts, when it holds, what it remembers."""

    slot: int
    name: str
    ticks: bool  # decided at the daily tick
    moments: bool  # has moments of its own (deadlines, dates)

    def selectors(self) -> Iterable[EventFilter]:
        """The events that it wants to see."""

    def arrive(self, rule: CompiledRule, ctx: Context) -> list[Match]:
        """Take an event in; where it (or a later one that it completes) makes the member hold, say so."""

    def schedule(self, rule: CompiledRule, ctx: Context) -> None:
        """Put every moment ahead (or overdue) of `ctx.state` onto its agenda."""

    def falls_due(self, rule: CompiledRule, ctx: Context, key: SubjectKey) -> list[Match]:
        """The agenda has come to `ctx.time` for this subject."""

    def first_tick(self, rule: CompiledRule, ctx: Context) -> int | None:
        """The earliest time at which a daily tick could make it hold; None: never, as things stand."""

    def tick(self, rule: CompiledRule, ctx: Context) -> list[Match]:
        """The daily tick at `ctx.time`."""

    def sweep(self, rule: CompiledRule, state: AccountState, key: SubjectKey, floor: int) -> None:
        """Forget what no event or moment from `floor` on can need."""

    def verdict(self, rule: CompiledRule, ctx: Context, subject: Subject) -> Verdict:
        """Whether it holds at `ctx.now`."""


class BaseKind:
    """The answers of a kind without moments, ticks or state; kinds override what they have."""

    def schedule(self, rule: CompiledRule, ctx: Context) -> None:
        """No moments."""

    def falls_due(self, rule: CompiledRule, ctx: Context, key: SubjectKey) -> list[Match]:
        """No moments."""
        return []

    def first_tick(self, rule: CompiledRule, ctx: Context) -> int | None:
        """Not decided at a tick."""
        return None

    def tick(self, rule: CompiledRule, ctx: Context) -> list[Match]:
        """Not decided at a tick."""
        return []

    def sweep(self, rule: CompiledRule, state: AccountState, key: SubjectKey, floor: int) -> None:
        """Nothing kept."""


class DecisionSink(Protocol):
    """Where decisions go: the partition's engine."""

    def fetch(self, offset: int) -> Event: ...
    def fire(self, rule: CompiledRule, ctx: Context, hold: Match, event: Event | None) -> None: ...
    def note(self, rule: str, reason: Reason) -> None: ...


def slot(*parts: object) -> int:
    """A 62-bit digest that names a part of a rule's state in every process."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 2


class CompiledRule:
    """A compiled version of a rule. It holds no account's state."""

    def __init__(
        self, doc: RuleIn, *, version: int, generation: int, unless_generation: int, status: str
    ) -> None:
        from services.rules.engine.kinds import build_members, build_unless

        self.doc, self.name, self.version = doc, doc.name, version
        self.generation, self.unless_generation, self.status = generation, unless_generation, status
        self.slot = slot(doc.name, generation)
        self.per_contact = doc.scope == "contact"
        self._by = value_getter(doc.by) if doc.by is not None else None
        self.members: list[TriggerKind]
        self.joint: AllOf | None
        self.members, self.joint = build_members(doc, generation)
        self.unless: Threshold | None = build_unless(doc, unless_generation)
        self.where = compile_condition(doc.where) if doc.where is not None else None
        roots = {path.split(".")[0] for path in paths_of(doc.where)} if doc.where is not None else set()
        self._where_reads_event = bool(roots & {"data", "type", "source", "contact"})
        self.cooldowns = cooldowns(doc)
        self.fires = status in ("active", "shadow")
        self.ticks = any(member.ticks for member in self.members)
        self.moments = any(member.moments for member in self.members)

    def selectors(self) -> Iterator[EventFilter]:
        """The events that it must see."""
        for member in self.members:
            yield from member.selectors()
        if self.unless is not None:
            yield from self.unless.selectors()

    # -- subjects --------------------------------------------------------------------------------------------

    def subject(self, scope: Scope) -> Subject | None:
        """Whom an event counts for; None: it does not match (no contact, no key)."""
        if not self.per_contact and self._by is None:
            return ALL
        event = scope.event
        contact = event.contact if self.per_contact and event is not None else None
        if self.per_contact and contact is None:
            return None
        key = None
        if self._by is not None and (key := self.key(scope)) is None:
            return None
        return (contact, key)

    def key(self, scope: Scope) -> str | None:
        """The value of the event that the rule counts by; None where it has none."""
        return key_text(self._by(scope)) if self._by is not None else None

    def since_subjects(self, ctx: Context) -> list[Subject]:
        """Whom a `since` event counts for: without a contact, for every contact then known."""
        if not self.per_contact or (ctx.event is not None and ctx.event.contact is not None):
            subject = self.subject(ctx.scope)
            return [] if subject is None else [subject]
        key = None
        if self._by is not None and (key := self.key(ctx.scope)) is None:
            return []
        return [(contact, key) for contact in ctx.state.profile.contacts]

    def unless_subject(self, subject: Subject) -> Subject:
        """Whom `unless` counts for: the same account or contact, without `by`."""
        return (subject[0], None)

    # -- judging ---------------------------------------------------------------------------------------------

    def arrive(self, ctx: Context, bench: DecisionSink) -> None:
        """An event of a type that the rule listens to."""
        if self.unless is not None:
            self.unless.arrive(self, ctx)
        found = [
            (place, hold) for place, member in enumerate(self.members) for hold in member.arrive(self, ctx)
        ]
        if found:
            self.decide(ctx, found, bench)

    def decide(self, ctx: Context, found: list[tuple[int, Match]], bench: DecisionSink) -> None:
        """Judge what held (by the member's place), in order of time."""
        joint = self.joint
        for hold in [hold for _, hold in found] if joint is None else joint.joined(self, ctx.state, found):
            if not self.fires:
                bench.note(self.name, Reason.RULE_PAUSED)
                continue
            event = self._event(ctx, hold, bench)
            reason = self.judge(ctx, hold, event)
            if reason is None:
                bench.fire(self, ctx, hold, event if event is not None else self._fetched(hold, bench))
            else:
                bench.note(self.name, reason)

    def judge(
        self, ctx: Context, hold: Match, event: Event | None, *, know_event: bool = True
    ) -> Reason | None:
        """Why a hold does not fire; None: it does. Changes nothing.

        Without `know_event` (an explanation) a `where` over the event is taken to hold.
        """
        state, key = ctx.state, subject_key(self.slot, hold.subject)
        fired = state.fired.get(key)
        if fired is not None and match_id(hold) in fired:
            return Reason.ALREADY_FIRED
        if self.cools(state, key, hold.at):
            return Reason.COOLDOWN
        asked = self.where is not None and (
            know_event or not self._where_reads_event or hold.offset == MOMENT
        )
        if asked and self.where is not None and not self.where(self._scope(state, hold, event)):
            return Reason.WHERE_FALSE
        if self.unless is not None and self.unless.holds_at(self, state, hold):
            return Reason.UNLESS_HOLDS
        return Reason.LOOP if _loops(state, hold) else None

    def cools(self, state: AccountState, key: SubjectKey, at: int) -> bool:
        """Whether a trigger at `at` would come within the cooldown of the latest one."""
        last = state.last.get(key)
        span = self.cooldowns[state.tier]
        return last is not None and span > 0 and at - last < span

    @staticmethod
    def _scope(state: AccountState, hold: Match, event: Event | None) -> Scope:
        if event is not None:
            return Scope(event, state.profile, state.contact(event.contact), state.tier)
        named = hold.subject[0]
        if named is None and hold.arming is not None:
            named = hold.arming.contact
        return Scope(None, state.profile, state.contact(named), state.tier)

    def _event(self, ctx: Context, hold: Match, bench: DecisionSink) -> Event | None:
        """The event that a hold is of, where judging needs it or it is at hand."""
        if hold.offset == MOMENT:
            return None
        if hold.offset == ctx.offset:
            return ctx.event
        return bench.fetch(hold.offset) if self._where_reads_event else None

    @staticmethod
    def _fetched(hold: Match, bench: DecisionSink) -> Event | None:
        return None if hold.offset == MOMENT else bench.fetch(hold.offset)


def _loops(state: AccountState, hold: Match) -> bool:
    """Whether what a hold is of, or what armed its moment, is too deep."""
    arming = hold.arming
    if arming is not None:
        return depth_of(arming.type, arming.data) >= LOOP_DEPTH
    return state.deep is not None and hold.offset in state.deep


def match_id(hold: Match) -> int:
    """What a subject's `fired` remembers: the event's offset, or the moment (negative)."""
    return ~hold.at if hold.offset == MOMENT else hold.offset
