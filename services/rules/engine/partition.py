"""The driver of one partition: records in order, the clock before each, what falls due, every rule that listens.

The worker, `touchline test`, backtests and the differential tests all use this one. It is pure: time comes with the
records, states through `Accounts`, and what was decided is handed out by `drain`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Literal, Protocol

from schemas.event import CLOCK, CONTROL, LATE_US, OWN_PREFIX, RULES_SAVED, Event, microseconds
from schemas.profile import apply_update, contact_of
from schemas.reasons import Reason
from schemas.trigger import Position, Trigger
from services.rules.engine.agenda import TICK, note
from services.rules.engine.backfill import History, backfill
from services.rules.engine.compile import RuleSet
from services.rules.engine.context import MOMENT, Context, Hold
from services.rules.engine.erasure import forget_contact
from services.rules.engine.live import LiveRule, cause_of
from services.rules.engine.repeats import merged_before, seen_before
from services.rules.engine.state import (
    OFFSET_BITS,
    AccountState,
    SubjectKey,
    slot_of,
    subject_key,
    subject_of,
)
from services.rules.engine.sweeping import sweep
from services.rules.engine.triggers import ids_of, make_trigger
from services.rules.engine.windows import DAY

UPDATES = frozenset({"account.updated", "contact.updated"})
NO_TIME = -(1 << 62)


class Accounts(Protocol):
    """The states of the partition's accounts; in tests a dict will do (see `MemoryAccounts`)."""

    def get(self, account: str) -> AccountState | None:
        """The account's state, or None for one never seen."""

    def put_new(self, state: AccountState) -> None:
        """Keep a state that the engine made."""

    def forget(self, account: str) -> None:
        """The account was erased."""

    def all(self) -> Iterator[AccountState]:
        """Every state, in any order."""


class MemoryAccounts:
    """`Accounts` in memory: for tests, backtests and `touchline test`."""

    def __init__(self) -> None:
        self.states: dict[str, AccountState] = {}
        self.get = self.states.get

    def put_new(self, state: AccountState) -> None:
        """Keep a new state."""
        self.states[state.account] = state

    def forget(self, account: str) -> None:
        """Drop a state."""
        self.states.pop(account, None)

    def all(self) -> Iterator[AccountState]:
        """Every state."""
        return iter(list(self.states.values()))


class PartitionEngine:
    """Judges one partition. Times in microseconds; `clock` moves by records (and, by the wall clock, by `beat`)."""

    def __init__(
        self,
        partition: int,
        *,
        clock_mode: Literal["wall", "log"],
        clock: int,
        revision: RuleSet,
        accounts: Accounts,
        rulesets: Callable[[int], RuleSet],
        fetch: Callable[[int], Event],
        history: Callable[[int], History],
    ) -> None:
        self.partition, self.clock, self.rules = partition, clock, revision
        self._wall = clock_mode == "wall"
        self._accounts, self._rulesets = accounts, rulesets
        self.fetch, self._history = fetch, history
        self._heap: list[tuple[int, str]] = []
        self._ctx = Context()
        self._triggers: list[Trigger] = []
        self.touched: set[str] = set()
        self.erased: set[str] = set()
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.unhealthy: dict[str, str] = {}

    # -- what the worker sees --------------------------------------------------------------------------------

    @property
    def revision_number(self) -> int:
        """The revision whose rules are in force at this place."""
        return self.rules.revision

    @property
    def next_due(self) -> int | None:
        """No moment of any account lies before this; None: there is none at all."""
        return self._heap[0][0] if self._heap else None

    def schedule(self, dues: Iterable[tuple[int, str]]) -> None:
        """Accounts stored with a moment ahead: (due, account)."""
        for due, account in dues:
            heappush(self._heap, (due, account))

    def drain(self) -> list[Trigger]:
        """The triggers since the last call, in the order decided."""
        triggers, self._triggers = self._triggers, []
        return triggers

    def forget_changes(self) -> None:
        """What was touched, erased and counted has been saved."""
        self.touched, self.erased, self.reasons = set(), set(), Counter()

    def apply(self, records: Sequence[tuple[int, int, Event]]) -> None:
        """(offset, receipt less the grace, event) in order. Before a record that moves the clock what is due runs."""
        for offset, received, event in records:
            assert event.time is not None  # noqa: S101 - decoding fills it in
            time = microseconds(event.time)
            type_ = event.type
            own = type_.startswith(OWN_PREFIX)
            to = received if self._wall else time if not own or type_ == CLOCK else self.clock
            if to > self.clock:
                self._advance(to, offset - 1)
            if type_ in CONTROL:
                if type_ == RULES_SAVED:
                    self._switch(event, offset)
                continue
            self._event(offset, time, event, own=own)

    def beat(self, now: int, next_offset: int) -> None:
        """By the wall clock, once all is read: run what is due up to `now`."""
        if now > self.clock:
            self._advance(now, next_offset - 1)

    # -- the clock -------------------------------------------------------------------------------------------

    def _advance(self, to: int, position: int) -> None:
        """Run all moments up to `to`, each account's in time order; then the clock stands there."""
        before, heap = self.clock, self._heap
        while heap and heap[0][0] <= to:
            due, account = heappop(heap)
            state = self._state(account)
            if state is None:
                continue
            if state.wake == due:
                state.wake = None
            if state.agenda and state.agenda[0][0] <= due:
                self.clock = max(before, due)
                self._run(state, due, position, past=due <= before, silent=False)
            self._wake(state)
        self.clock = to

    def _run(self, state: AccountState, upto: int, position: int, *, past: bool, silent: bool) -> None:
        agenda, ctx = state.agenda, self._ctx
        ctx.state, ctx.event, ctx.offset, ctx.position = state, None, MOMENT, position
        ctx.past, ctx.silent, ctx.now = past, silent, self.clock
        ctx.scope.event, ctx.scope.profile, ctx.scope.tier = None, state.profile, state.tier
        while agenda and agenda[0][0] <= upto:
            ctx.time = agenda[0][0]
            keys: set[SubjectKey] = set()
            while agenda and agenda[0][0] == ctx.time:
                keys.add(heappop(agenda)[2])
            self._moment(ctx, keys)
        self.touched.add(state.account)

    def _moment(self, ctx: Context, keys: set[SubjectKey]) -> None:
        """All moments of an account at one time, rule by rule."""
        found: dict[int, list[tuple[int, Hold]]] = {}
        ticks = TICK in keys
        keys.discard(TICK)
        for key in sorted(keys, key=self._order):
            part = self.rules.parts.get(slot_of(key))
            if part is None:
                continue
            holds = self._asked(part.rule, part.kind.falls_due, part.rule, ctx, key)
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

    def _ticks(self, ctx: Context, found: dict[int, list[tuple[int, Hold]]]) -> None:
        ctx.state.tick_at = None
        for rule in self.rules.tick_rules:
            for place, member in enumerate(rule.members):
                if member.ticks:
                    holds = self._asked(rule, member.tick, rule, ctx)
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
                known = member.first_tick(rule, ctx) if member.ticks else None
                if known is not None:
                    known = max(known, self._cooled(rule, ctx.state))
                    first = known if first is None else min(first, known)
        if first is None or first >= MAX_TIME:
            return
        at = max(-(-first // DAY), ctx.now // DAY + 1) * DAY
        if ctx.state.tick_at is None or at < ctx.state.tick_at:
            ctx.state.tick_at = at
            note(ctx.state, at, TICK)

    @staticmethod
    def _cooled(rule: LiveRule, state: AccountState) -> int:
        """When the cooldown of a rule that ticks is over: before it, ticks need not be tried."""
        last = state.last.get(rule.slot)
        span = rule.cooldowns[state.tier]
        return NO_TIME if rule.joint is not None or last is None or span == 0 else last + span

    def _wake(self, state: AccountState) -> None:
        """Keep the partition's agenda in step with the account's."""
        due = state.agenda[0][0] if state.agenda else None
        state.due = due
        if due is not None and (state.wake is None or due < state.wake):
            state.wake = due
            heappush(self._heap, (due, state.account))

    # -- states ----------------------------------------------------------------------------------------------

    def _state(self, account: str) -> AccountState | None:
        state = self._accounts.get(account)
        if state is not None and state.revision != self.rules.revision:
            self._adopt(state)
        return state

    def _adopt(self, state: AccountState) -> None:
        """Fit what is derived from rules and tiers to those in force."""
        state.revision = self.rules.revision
        state.tier = self.rules.tier(state.profile)[0]
        self._reschedule(state)

    def _reschedule(self, state: AccountState) -> None:
        """Reckon all moments of an account anew."""
        state.agenda.clear()
        state.noted.clear()
        state.tick_at = None
        if not self.rules.has_moments:
            state.due = None
            return
        ctx = self._ctx
        ctx.state, ctx.now = state, self.clock
        ctx.watched = {}
        for key in state.watches:
            ctx.watched.setdefault(slot_of(key), []).append(key)
        for rule in self.rules.moment_rules:
            for member in rule.members:
                if member.moments:
                    self._asked(rule, member.schedule, rule, ctx)
        self._note_tick(ctx)
        state.wake = None
        self._wake(state)

    def _switch(self, event: Event, offset: int) -> None:
        """A revision takes effect at this place."""
        number = event.data.get("revision") if isinstance(event.data, dict) else None
        if not isinstance(number, int) or number <= self.rules.revision:
            return
        old, new = self.rules, self._rulesets(number)
        self.rules = new
        fresh = [
            rule
            for rule in new.rules
            if rule.name in new.backfills
            and (rule.name not in old.by_name or old.by_name[rule.name].version != rule.version)
        ]
        if fresh:
            for account in backfill(fresh, self._accounts, self._history(offset), self.clock):
                self.touched.add(account)
        if fresh or not new.same_moments(old):
            self._walk(offset, fresh)

    def _walk(self, offset: int, fresh: list[LiveRule]) -> None:
        for state in self._accounts.all():
            before = state.due
            self._adopt(state)
            self._spend(state, fresh)
            self._overdue(state, offset, silent=False)
            if state.due != before:
                self.touched.add(state.account)

    def _spend(self, state: AccountState, fresh: list[LiveRule]) -> None:
        """Moments of rules built from the log that are past already do not run."""
        names = {rule.name for rule in fresh if rule.moments}
        past = sorted(entry for entry in state.agenda if entry[0] <= self.clock) if names else []
        ctx = self._ctx
        ctx.event, ctx.offset, ctx.past, ctx.silent, ctx.now = None, MOMENT, True, True, self.clock
        for at, _, key in past:
            part = self.rules.parts.get(slot_of(key))
            if part is not None and part.rule.name in names:
                ctx.time = at
                self._asked(part.rule, part.kind.falls_due, part.rule, ctx, key)

    # -- events ----------------------------------------------------------------------------------------------

    def _event(self, offset: int, time: int, event: Event, *, own: bool) -> None:
        account = event.account or ""
        if event.type == "account.deleted":
            self._accounts.forget(account)
            self.erased.add(account)
            self.touched.discard(account)
            return
        state = self._state(account)
        known = state is not None
        if state is None:
            state = self._made(account, time, event)
        self.touched.add(account)
        late = time < state.newest - LATE_US
        repeat = seen_before(state, event)
        if not own and time > state.newest:
            state.newest = time
        if repeat:
            self.note("", Reason.DUPLICATE)
            return
        self._remember(state, event, time, offset)
        self._judge(state, offset, time, event, late=late, known=known)
        if len(state.seen) >= state.sweep_at:
            sweep(state, self.rules)

    def _made(self, account: str, time: int, event: Event) -> AccountState:
        state = AccountState(account)
        state.earliest = state.newest = time
        state.source = event.source
        self._accounts.put_new(state)
        self._adopt(state)
        return state

    def _remember(self, state: AccountState, event: Event, time: int, offset: int) -> None:
        key = event.id if event.source == state.source else (event.source, event.id)
        state.seen.pop(key, None)  # an id whose time was over comes in at the end
        state.seen[key] = max(state.newest, time) << OFFSET_BITS | offset
        if time < state.earliest:
            state.earliest = time
            if self.rules.tick_rules:
                self._ctx.state, self._ctx.now = state, self.clock
                self._note_tick(self._ctx)

    def _judge(
        self, state: AccountState, offset: int, time: int, event: Event, *, late: bool, known: bool
    ) -> None:
        ctx = self._ctx
        ctx.state, ctx.event, ctx.time, ctx.offset, ctx.position = state, event, time, offset, offset
        ctx.now, ctx.past, ctx.silent = self.clock, False, late or event.historical
        scope = ctx.scope
        scope.event, scope.profile = event, state.profile
        if event.type in UPDATES:
            self._update(ctx, late=late, known=known)
        elif event.type == "contact.deleted":
            forget_contact(state, contact_of(event))
            apply_update(state.profile, event)
        scope.tier, scope.contact = state.tier, state.contact(event.contact)
        if late:
            self.note("", Reason.LATE)
        else:
            if event.historical:
                state.muted[offset] = time
                self.note("", Reason.HISTORICAL)
            for rule in self.rules.listeners(event.type):
                self._asked(rule, rule.arrive, ctx, self)
        if self.rules.has_moments:
            if self.rules.tick_rules and (ctx.retick or state.tick_at is None):
                ctx.retick = False
                self._note_tick(ctx)
            self._overdue(state, offset, silent=ctx.silent)

    def _update(self, ctx: Context, *, late: bool, known: bool) -> None:
        """Merge an update; what it makes of the tier and of dates is reckoned anew."""
        state, event = ctx.state, ctx.event
        assert event is not None  # noqa: S101 - called for events only
        if late and merged_before(state, event):
            return
        ctx.before = {}
        if known:
            ctx.scope.tier, ctx.scope.contact = state.tier, state.contact(event.contact)
            ctx.before = {part.slot: part.holding(rule, ctx) for rule, part in self.rules.becomes}
        apply_update(state.profile, event)
        merged_before(state, event)
        tier = self.rules.tier(state.profile)[0]
        if tier != state.tier:
            state.tier = tier
            self._reschedule(state)
        else:
            for rule, part in self.rules.date_parts:
                self._asked(rule, part.schedule, rule, ctx)

    def _overdue(self, state: AccountState, offset: int, *, silent: bool) -> None:
        """What an event, a tier change or a save made fall due in the past runs at once."""
        if state.agenda and state.agenda[0][0] <= self.clock:
            self._run(state, self.clock, offset, past=True, silent=silent)
        self._wake(state)

    # -- decisions -------------------------------------------------------------------------------------------

    def _asked(self, rule: LiveRule, call: Callable[..., object], *args: object) -> list[Hold]:
        """Ask something of a rule. A rule that breaks is marked and never stops its neighbours."""
        try:
            answer = call(*args)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this rule's alone
            self.unhealthy[rule.name] = f"{type(error).__name__}: {error}"[:500]
            return []
        return answer if isinstance(answer, list) else []

    def note(self, rule: str, reason: Reason) -> None:
        """Count a decision (rule "" for what holds for all)."""
        self.reasons[rule, reason] += 1

    def fire(self, rule: LiveRule, ctx: Context, hold: Hold, event: Event | None) -> None:
        """A hold has passed judgement: remember it and make its trigger."""
        state, key = ctx.state, subject_key(rule.slot, hold.subject)
        state.fired.setdefault(key, {})[cause_of(hold)] = hold.at
        state.last[key] = max(hold.at, state.last.get(key, hold.at))
        position = Position(self.partition, ctx.position)
        trigger = make_trigger(rule, state, hold, event, self._evidence(state, hold), position)
        self._triggers.append(trigger)
        self.note(rule.name, Reason(trigger.reason))

    def _evidence(self, state: AccountState, hold: Hold) -> list[str]:
        if hold.arming is not None:
            return [hold.arming.id]
        offsets = hold.evidence() if hold.evidence is not None else []
        found = ids_of(state, offsets)
        return [found[offset] for offset in offsets if offset in found]


MAX_TIME = 1 << 61
