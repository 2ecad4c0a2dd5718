"""A rule in force: its members, and the single judgement that leads to every trigger.

The order: the condition holds (its kind says so, for a tier that the rule covers) -> this event has not fired the
rule yet -> cooldown -> where -> unless -> it fires.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from schemas.conditions.codegen import Scope
from schemas.conditions.model import compile_condition, paths_of
from schemas.event import LOOP_DEPTH, Event, depth_of
from schemas.heartbeats import clause_of
from schemas.reasons import Reason
from schemas.rule import RuleIn
from services.rules.engine.account_state import AccountState, SubjectKey, subject_key
from services.rules.engine.account_state import slot as slot
from services.rules.engine.context import Context
from services.rules.engine.event_filter import EventFilter
from services.rules.engine.kinds import build_members, build_unless
from services.rules.engine.kinds.base import MOMENT, Match
from services.rules.engine.per_tier import cooldowns
from services.rules.engine.subjects import Subjects

NOTHING_BEFORE: Mapping[int, object] = {}


class DecisionSink(Protocol):
    """Receives the decisions: the partition's engine."""

    def fetch(self, offset: int) -> Event: ...
    def fire(self, rule: CompiledRule, ctx: Context, hold: Match, event: Event | None) -> None: ...
    def note(self, rule: str, reason: Reason) -> None: ...


class CompiledRule:
    """A compiled rule. It holds no account's state."""

    def __init__(
        self, doc: RuleIn, *, version: int, generation: int, unless_generation: int, status: str
    ) -> None:
        self.doc, self.name, self.version = doc, doc.name, version
        # what its triggers are of: another name only in a backtest, where several variants share one reading
        self.known_as = doc.name
        self.generation, self.unless_generation, self.status = generation, unless_generation, status
        self.slot = slot(doc.name, generation)
        self.subjects = Subjects(doc.scope, doc.by)
        self.per_contact = self.subjects.per_contact
        self.members, self.joint = build_members(doc, generation, self.subjects)
        self.unless = build_unless(doc, unless_generation, self.subjects)
        self.reason = self.joint.reason if self.joint is not None else self.members[0].reason
        self.where = compile_condition(doc.where) if doc.where is not None else None
        roots = {path.split(".")[0] for path in paths_of(doc.where)} if doc.where is not None else set()
        self._where_reads_event = bool(roots & {"data", "type", "source", "contact"})
        self.cooldowns = cooldowns(doc)
        self.fires = status in ("active", "shadow")
        self.alive = clause_of(doc.alive) if doc.alive is not None else None
        for member in self.members:
            member.alive = self.alive.key if self.alive is not None else None
        self.ticks = any(member.ticks for member in self.members)
        self.moments = any(member.moments for member in self.members)

    def selectors(self) -> Iterator[EventFilter]:
        """The filters of the events that the rule must see."""
        for member in self.members:
            yield from member.selectors()
        if self.unless is not None:
            yield from self.unless.selectors()

    # -- judging ---------------------------------------------------------------------------------------------

    def arrive(
        self, ctx: Context, bench: DecisionSink, before: Mapping[int, object] = NOTHING_BEFORE
    ) -> bool:
        """Handle an event of a type that the rule listens to.

        `before`: what each member said before an update, by slot. Returns whether a daily tick may decide sooner than
        the one on the agenda.
        """
        if self.unless is not None:
            self.unless.arrive(ctx)
        found: list[tuple[int, Match]] = []
        retick = False
        for place, member in enumerate(self.members):
            arrived = member.arrive(ctx, before.get(member.slot) if before else None)
            if arrived.matches:
                found += [(place, match) for match in arrived.matches]
            retick = retick or arrived.retick
        if found:
            self.decide(ctx, found, bench)
        return retick

    def decide(self, ctx: Context, found: list[tuple[int, Match]], bench: DecisionSink) -> None:
        """Judge the matches, each with the place of its member, in time order."""
        joint = self.joint
        for hold in [hold for _, hold in found] if joint is None else joint.joined(ctx.state, found):
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
        """The reason why a match does not fire, or None if it does. Changes nothing.

        Without `know_event` (in an explanation), a `where` over the event is assumed to hold.
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
        if self.unless is not None and self.unless.holds_at(state, hold):
            return Reason.UNLESS_HOLDS
        return Reason.LOOP if _loops(state, hold) else None

    def allows(self, state: AccountState, hold: Match) -> bool:
        """Whether `where` and `unless` let a match through at a moment, at which there is no event."""
        held_back = self.unless is not None and self.unless.holds_at(state, hold)
        return self.where_allows(state, hold) and not held_back

    def where_allows(self, state: AccountState, hold: Match) -> bool:
        """Whether `where` alone lets a match through at a moment."""
        return self.where is None or bool(self.where(self._scope(state, hold, None)))

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
        """The event behind a match, if judging needs it or it is at hand."""
        if hold.offset == MOMENT:
            return None
        if hold.offset == ctx.offset:
            return ctx.event
        return bench.fetch(hold.offset) if self._where_reads_event else None

    @staticmethod
    def _fetched(hold: Match, bench: DecisionSink) -> Event | None:
        return None if hold.offset == MOMENT else bench.fetch(hold.offset)


def _loops(state: AccountState, hold: Match) -> bool:
    """Whether the event behind a match, or the one that armed its moment, is too deep (see `LOOP_DEPTH`)."""
    arming = hold.arming
    if arming is not None:
        return depth_of(arming.type, arming.data) >= LOOP_DEPTH
    return state.deep is not None and hold.offset in state.deep


def match_id(hold: Match) -> int:
    """How a subject's `fired` records the match: by the event's offset, or by the moment (negative)."""
    return ~hold.at if hold.offset == MOMENT else hold.offset
