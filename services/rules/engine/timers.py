"""Runs what falls due by the clock, in time order per account, and puts accounts on the partition's agenda."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TypeVar

from schemas.event import Event
from schemas.reasons import Reason
from services.rules.engine.account_state import AccountState, SubjectKey, slot_of, subject_of
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.context import Context
from services.rules.engine.kinds.base import MOMENT, Match
from services.rules.engine.ports import AccountStates
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.timer_heap import TICK, note
from services.rules.engine.windows.series import DAY, FOREVER

NO_TIME = -FOREVER
NEVER_TICKS = FOREVER - 1  # marks an account that no daily tick can concern as things are
MAX_TIME = 1 << 61
T = TypeVar("T")


class Timers(ABC):
    """The part of a partition's engine that time drives. `clock` is in microseconds."""

    def __init__(self, rules: RuleSet, clock: int, accounts: AccountStates) -> None:
        self.rules, self.clock = rules, clock
        self._accounts = accounts
        self._heap: list[tuple[int, str]] = []
        # accounts to their earliest entry in the heap, even while their states are not in memory
        self._woken: dict[str, int] = {}
        self._ctx = Context()
        self.touched: set[str] = set()
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.unhealthy: dict[str, str] = {}
        # Events for an account that others were merged into may still be under way from other partitions. A moment
        # waits until all events before it have come; up to `cleared` they have. With the log clock nothing waits.
        self.cleared = FOREVER
        # accounts to their first moment that waits, and whether that was in time
        self._parked: dict[str, tuple[int, bool]] = {}
        self._retick = False  # the event may be decided at an earlier tick than the one scheduled
        self._unread: Exception | None = None  # the error with which the log failed to give an event

    @abstractmethod
    def fetch(self, offset: int) -> Event:
        """The event at an offset of this partition."""

    @abstractmethod
    def fire(self, rule: CompiledRule, ctx: Context, hold: Match, event: Event | None) -> None:
        """Fire a match that has been judged."""

    # -- the clock -------------------------------------------------------------------------------------------

    def _advance(self, to: int, position: int) -> None:
        """Run all moments up to `to`, each account's in time order, and set the clock to `to`."""
        before, heap = self.clock, self._heap
        while heap and heap[0][0] <= to:
            due, account = heappop(heap)
            state = self._state(account)
            if self._woken.get(account) == due:
                del self._woken[account]
            if state is None:
                continue
            if self._waits(state, due):
                self._park(state, due, in_time=due > before)
                continue
            if state.agenda and state.agenda[0][0] <= due:
                # the clock itself stays: if an account is loaded meanwhile, all its moments must still be ahead
                self._run(state, due, position, now=max(before, due), past=due <= before, silent=False)
            self._wake(state)
        self.clock = to

    def _waits(self, state: AccountState, due: int) -> bool:
        """Whether events that count before this moment may still be under way."""
        return due > self.cleared and bool(state.profile.absorbed)

    def _park(self, state: AccountState, due: int, *, in_time: bool) -> None:
        """Keep a moment that cannot run yet."""
        before = self._parked.get(state.account)
        if before is None or (due, not in_time) < (before[0], not before[1]):
            self._parked[state.account] = due, in_time

    @property
    def parked(self) -> bool:
        """Whether moments wait for events that may be under way."""
        return bool(self._parked)

    def release(self, cleared: int, next_offset: int) -> None:
        """All events from before `cleared` have come: run the moments that waited for them, as if they ran in time."""
        self.cleared = max(self.cleared, cleared)
        for account, (first, in_time) in sorted(self._parked.items(), key=lambda one: (one[1][0], one[0])):
            if first > self.cleared:
                continue
            del self._parked[account]
            state = self._state(account)
            while state is not None and state.agenda and state.agenda[0][0] <= min(self.cleared, self.clock):
                due = state.agenda[0][0]
                now = due if in_time else self.clock
                self._run(state, due, next_offset - 1, now=now, past=not in_time, silent=False)
            if state is not None:
                self._wake(state)

    def _run(
        self, state: AccountState, upto: int, position: int, *, now: int, past: bool, silent: bool
    ) -> None:
        agenda, ctx = state.agenda, self._ctx
        ctx.state, ctx.event, ctx.offset, ctx.position = state, None, MOMENT, position
        ctx.past, ctx.silent, ctx.now = past, silent, now
        ctx.scope.event, ctx.scope.profile, ctx.scope.tier = None, state.profile, state.tier
        while agenda and agenda[0][0] <= upto:
            ctx.time = agenda[0][0]
            keys: set[SubjectKey] = set()
            while agenda and agenda[0][0] == ctx.time:
                keys.add(heappop(agenda)[2])
            self._moment(ctx, keys)
        self.touched.add(state.account)

    def _moment(self, ctx: Context, keys: set[SubjectKey]) -> None:
        """Run all moments of an account at one time, rule by rule."""
        found: dict[int, list[tuple[int, Match]]] = {}
        ticks = TICK in keys
        keys.discard(TICK)
        for key in sorted(keys, key=self._order):
            part = self.rules.parts.get(slot_of(key))
            if part is None:
                continue
            holds = self._asked(part.rule, part.kind.falls_due, ctx, key) or ()
            place = self.rules.place[part.rule.name]
            found.setdefault(place, []).extend((part.place, hold) for hold in holds)
        if ticks:
            self._ticks(ctx, found)
        for place in sorted(found):
            if found[place]:
                rule = self.rules.rules[place]
                self._asked(rule, rule.decide, ctx, found[place], self)
        if ticks:
            self._note_tick(ctx)

    def _ticks(self, ctx: Context, found: dict[int, list[tuple[int, Match]]]) -> None:
        ctx.state.tick_at = None
        for rule in self.rules.tick_rules:
            if rule.alive is not None and self._held_back(ctx, rule):
                continue
            for place, member in enumerate(rule.members):
                if member.ticks:
                    holds = self._asked(rule, member.tick, ctx) or ()
                    found.setdefault(self.rules.place[rule.name], []).extend((place, hold) for hold in holds)

    def _order(self, key: SubjectKey) -> tuple[int, str, str]:
        part = self.rules.parts.get(slot_of(key))
        contact, value = subject_of(key)
        return (self.rules.place[part.rule.name] if part is not None else -1, contact or "", value or "")

    def _note_tick(self, ctx: Context) -> None:
        """Put the next daily tick that could decide anything onto the account's agenda."""
        first: int | None = None
        for rule in self.rules.tick_rules:
            if not rule.fires and rule.joint is None:
                continue
            for member in rule.members:
                known = member.first_tick(ctx) if member.ticks else None
                if known is not None:
                    known = max(known, self._cooled(rule, ctx.state))
                    first = known if first is None else min(first, known)
        if first is None or first >= MAX_TIME:
            if ctx.state.tick_at is None:
                ctx.state.tick_at = NEVER_TICKS
            return
        at = max(-(-first // DAY), ctx.now // DAY + 1) * DAY
        if ctx.state.tick_at is None or at < ctx.state.tick_at:
            ctx.state.tick_at = at
            note(ctx.state, at, TICK)

    @staticmethod
    def _cooled(rule: CompiledRule, state: AccountState) -> int:
        """When the rule's cooldown ends; daily ticks before that need not be tried."""
        last = state.last.get(rule.slot)
        span = rule.cooldowns[state.tier]
        return NO_TIME if rule.joint is not None or last is None or span == 0 else last + span

    def _held_back(self, ctx: Context, rule: CompiledRule) -> bool:  # noqa: ARG002
        """Whether the rule is not to be decided at this daily tick, or not yet."""
        return False

    def _wake(self, state: AccountState) -> None:
        """Keep the partition's agenda in step with the account's."""
        due = state.agenda[0][0] if state.agenda else None
        state.due = due
        if due is not None and due < self._woken.get(state.account, FOREVER):
            self._woken[state.account] = due
            heappush(self._heap, (due, state.account))

    # -- states ----------------------------------------------------------------------------------------------

    def _state(self, account: str) -> AccountState | None:
        state = self._accounts.get(account)
        if state is not None and state.revision != self.rules.revision:
            self._adopt(state)
        return state

    def _adopt(self, state: AccountState) -> None:
        """Bring what is derived from rules and tiers up to date with those in force."""
        state.revision = self.rules.revision
        state.slack.clear()
        self.rules.refit(state)
        state.tier = self.rules.tier(state.profile)[0]
        self._reschedule(state)

    def _reschedule(self, state: AccountState, *, changed: bool = False) -> None:
        """Reschedule all moments of an account. `changed`: the spans of its tier are others now."""
        state.agenda.clear()
        state.noted.clear()
        state.tick_at = None
        if not self.rules.has_moments:
            state.due = None
            return
        ctx = self._ctx
        ctx.state, ctx.now, ctx.past = state, self.clock, changed
        kept: dict[int, list[SubjectKey]] = {}
        for states in state.kept.values():
            for key in states:
                kept.setdefault(slot_of(key), []).append(key)
        for rule in self.rules.moment_rules:
            for member in rule.members:
                if member.moments:
                    self._asked(rule, member.schedule, ctx, kept.get(member.slot, ()))
        ctx.past = False
        self._note_tick(ctx)
        self._wake(state)

    def _overdue(self, state: AccountState, offset: int, *, silent: bool) -> None:
        """Run moments at once that an event, a tier change or a save made overdue."""
        if state.agenda and state.agenda[0][0] <= self.clock and self._waits(state, state.agenda[0][0]):
            self._park(state, state.agenda[0][0], in_time=False)
        elif state.agenda and state.agenda[0][0] <= self.clock:
            self._run(state, self.clock, offset, now=self.clock, past=True, silent=silent)
        self._wake(state)

    def _spend(self, state: AccountState, fresh: list[CompiledRule]) -> None:
        """Use up the overdue moments of rules that were built from the log, without firing."""
        names = {rule.name for rule in fresh if rule.moments}
        past = sorted(entry for entry in state.agenda if entry[0] <= self.clock) if names else []
        ctx = self._ctx
        ctx.event, ctx.offset, ctx.past, ctx.silent, ctx.now = None, MOMENT, True, True, self.clock
        for at, _, key in past:
            part = self.rules.parts.get(slot_of(key))
            if part is not None and part.rule.name in names:
                ctx.time = at
                self._asked(part.rule, part.kind.falls_due, ctx, key)

    def _asked(self, rule: CompiledRule, call: Callable[..., T], *args: object) -> T | None:
        """Call a rule; returns None if it fails. Then the rule is marked as unhealthy, and the others go on.

        A log that cannot be read now is not the rule's fault: skipping the rule would miss a trigger.
        """
        try:
            return call(*args)
        except Exception as error:  # whatever the error is, it concerns this rule alone
            if error is self._unread:
                raise
            self.unhealthy[rule.name] = f"{type(error).__name__}: {error}"[:500]
            return None

    def note(self, rule: str, reason: Reason) -> None:
        """Count a decision (rule "": a decision that concerns all rules)."""
        self.reasons[rule, reason] += 1
