"""Drives one partition: reads records in order, moves the clock, runs what is due, asks every rule that listens.

The worker, `touchline test`, backtests and the differential tests all use this engine. It is pure: time comes with
the records, states come through `AccountStates`, and `drain` hands out the decisions.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from heapq import heappush
from typing import Literal

from schemas.event import (
    CLOCK,
    CONTROL,
    LATE_US,
    LOOP_DEPTH,
    OWN_PREFIX,
    RULES_SAVED,
    RULES_START,
    SOURCE_SEEN,
    Event,
    depth_of,
    is_reserved,
    microseconds,
)
from schemas.forwarding import ABSORBED
from schemas.profile import contact_of
from schemas.reasons import Reason
from schemas.trigger import Position, Trigger
from services.rules.engine.account_state import OFFSET_BITS, AccountState, merge, subject_key
from services.rules.engine.backfill import History, backfill
from services.rules.engine.by_hand import Starts, no_starts, start_id
from services.rules.engine.compiled_rule import NOTHING_BEFORE, CompiledRule, match_id
from services.rules.engine.context import Context
from services.rules.engine.dedup import merged_before
from services.rules.engine.erasure import depart, of_the_erased
from services.rules.engine.eviction import sweep
from services.rules.engine.fastpath.codegen import Handler
from services.rules.engine.fastpath.rule_group import Thresholds
from services.rules.engine.fastpath.shared_series import Row, bits
from services.rules.engine.fastpath.slack import put_late
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.kinds.base import Match
from services.rules.engine.merging import SPECIAL, UPDATES, ErasedAt, Merging, lone_after
from services.rules.engine.ports import AccountStates, InMemoryAccounts
from services.rules.engine.ruleset import TYPES_KEPT, RuleSet, UnknownRevision
from services.rules.engine.subjects import ALL
from services.rules.engine.triggers import ids_of, make_trigger

__all__ = ["AccountStates", "InMemoryAccounts", "PartitionEngine"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
UNKNOWN: dict[str, Handler] = {}  # stands for an event type whose handlers have not been made yet


class PartitionEngine(Merging):
    """Judges one partition. Times in microseconds; `clock` moves by records, and in `advance_to` by the wall clock."""

    def __init__(
        self,
        partition: int,
        *,
        clock_mode: Literal["wall", "log"],
        clock: int,
        revision: RuleSet,
        accounts: AccountStates,
        rulesets: Callable[[int], RuleSet],
        fetch: Callable[[int], Event],
        history: Callable[[int], History],
        starts: Starts = no_starts,
        heartbeats: Iterable[Heartbeat] = (),
    ) -> None:
        super().__init__(partition, revision, clock, accounts, heartbeats)
        self._wall = clock_mode == "wall"
        self._rulesets, self._fetch, self._history = rulesets, fetch, history
        self._starts = starts
        self._triggers: list[Trigger] = []

    # -- what the worker sees --------------------------------------------------------------------------------

    @property
    def revision_number(self) -> int:
        """The revision whose rules are in force at this point of the log."""
        return self.rules.revision

    @property
    def next_due(self) -> int | None:
        """No moment of any account is earlier than this; None: there is no moment at all."""
        return self._heap[0][0] if self._heap else None

    def schedule(self, dues: Iterable[tuple[int, str]]) -> None:
        """Add stored accounts that have a moment ahead, or one that waits (see `cleared`): (due, account)."""
        for due, account in dues:
            if due <= self.clock and self.cleared < due:
                self._parked[account] = due, True
                continue
            self._woken[account] = due
            heappush(self._heap, (due, account))

    def drain(self) -> list[Trigger]:
        """The triggers since the last call, in the order decided."""
        triggers, self._triggers = self._triggers, []
        return triggers

    def forget_changes(self) -> None:
        """Forget the touched accounts and counted decisions, which have been saved."""
        self.touched, self.reasons = set(), Counter()

    def apply(self, records: Sequence[tuple[int, int, Event]]) -> None:
        """Judge records in order: (offset, receipt time less the grace, event).

        Before a record that moves the clock, everything that is due runs. The loop is the hot path, for a new event of
        a plain type that is in order, from an account that is up to date. All other records go through `_record` or
        `_event`, with the same result.
        """
        find, wall, heap, touch = self._accounts.get, self._wall, self._heap, self.touched.add
        rules = self.rules
        for offset, received, event in records:
            handlers = rules.handlers.get(event.type, UNKNOWN)
            if handlers is UNKNOWN:
                self._record(offset, received, event)
                rules = self.rules  # the record may have been a save
                continue
            since = event.time - EPOCH  # type: ignore[operator]  # decoding fills it in
            time = (since.days * 86_400 + since.seconds) * SECOND + since.microseconds
            to = received if wall else time
            if to > self.clock:
                if heap and heap[0][0] <= to:
                    self._advance(to, offset - 1)
                else:
                    self.clock = to
            state = find(event.account)  # type: ignore[arg-type]  # only control records have none
            if (
                state is None
                or time < state.newest
                or event.source != state.source
                or event.historical
                or state.revision != rules.revision
                or event.mergedfrom is not None
                or (state.lone and (state.lone == 2 or event.contact != state.account))
                or state.seen.setdefault(event.id, mark := time << OFFSET_BITS | offset) is not mark
            ):
                self._event(offset, time, event, own=False)
                continue
            state.newest = time
            touch(state.account)
            if handlers is not None:
                handlers[state.tier](state, time, offset, event, self, False)
            if rules.has_moments and (self._retick or (state.agenda and state.agenda[0][0] != state.due)):
                self._settle(state, offset, silent=False)
            if len(state.seen) >= state.sweep_at:
                sweep(state, rules)

    def advance_to(self, now: int, next_offset: int) -> None:
        """With the wall clock, once all records are read: run what is due up to `now`."""
        if now > self.clock:
            self._advance(now, next_offset - 1)

    def fetch(self, offset: int) -> Event:
        """The event at an offset of this partition; rarely needed, when a late event completes a check at another.

        Raises `LookupError` if the log no longer has the event; then the rule cannot be judged there. Any other
        error comes out of `apply`, and then this engine must be thrown away.
        """
        try:
            return self._fetch(offset)
        except LookupError:
            raise
        except Exception as error:
            self._unread = error
            raise

    def _record(self, offset: int, received: int, event: Event) -> None:
        """A record of any type."""
        type_ = event.type
        time = microseconds(event.time) if event.time is not None else 0
        own = type_.startswith(OWN_PREFIX)
        to = received if self._wall else time if not own or type_ == CLOCK else self.clock
        if to > self.clock:
            self._advance(to, offset - 1)
        if type_ in CONTROL:
            if type_ == RULES_SAVED:
                self._switch(event, offset)
            elif type_ == SOURCE_SEEN:
                self._told(event, offset)
            elif type_ == RULES_START:
                self._triggers += self._start(self._starts(start_id(event)), offset)
            else:
                self._answered(event)
            return
        if self.rules.fastpath and not is_reserved(type_):
            if len(self.rules.handlers) >= TYPES_KEPT:
                self.rules.handlers.clear()
            self.rules.handlers[type_] = self.rules.handlers_of(type_)
        self._event(offset, time, event, own=own)

    def _switch(self, event: Event, offset: int) -> None:
        """Put a revision into force at this offset."""
        number = event.data.get("revision") if isinstance(event.data, dict) else None
        if not isinstance(number, int) or number <= self.rules.revision:
            return
        try:
            old, new = self.rules, self._rulesets(number)
        except UnknownRevision:
            return
        self.rules = new
        for name in [name for name in self.unhealthy if new.by_name.get(name) is not old.by_name.get(name)]:
            del self.unhealthy[name]  # another version, or none: the old one's error no longer matters
        fresh = [
            rule
            for rule in new.rules
            if rule.name in new.backfills
            and (rule.name not in old.by_name or old.by_name[rule.name].generation != rule.generation)
        ]
        self._guard(new, fresh, offset, lambda: self._history(offset))
        if fresh:
            self.touched |= backfill(
                fresh, self._accounts, lambda: self._history(offset), self.clock, self._asked
            )
        if fresh or not new.same_moments(old):
            self._walk(offset, fresh)

    def _walk(self, offset: int, fresh: list[CompiledRule]) -> None:
        for state in self._accounts.all(self.touched):
            before = state.due
            self._adopt(state)
            self._spend(state, fresh)
            self._overdue(state, offset, silent=False)
            if state.due != before:
                self.touched.add(state.account)

    # -- events ----------------------------------------------------------------------------------------------

    def _event(self, offset: int, time: int, event: Event, *, own: bool) -> None:
        account = event.account or ""
        if event.type == "account.deleted":
            self._erase(account, offset)
            return
        state = self._state(account)
        closed = state is not None and state.profile.closed is not None
        if closed or event.mergedfrom is not None or event.type in SPECIAL:
            if self._aside(state, offset, time, event):
                return
            state = self._state(account)
        known = state is not None
        telling = own and event.type != ABSORBED  # an `ABSORBED` event speaks for events from outside
        if (telling and of_the_erased(state, event)) or (state is None and event.type == "contact.deleted"):
            self.note("", Reason.ERASED)
            return
        if state is None:
            state = self._made(account, time, event)
            state.born = offset
        self.touched.add(account)
        late = time < state.newest - LATE_US
        if not self._is_new(state, offset, time, event, own=own):
            if event.type == "contact.deleted":
                depart(state, offset)
                # so that the tables learn of it again
                self.out.erased.append(ErasedAt(offset, account, contact_of(event)))
            return
        state.lone = lone_after(state, event, first=not known)
        if own and depth_of(event.type, event.data) >= LOOP_DEPTH:
            state.deep = (state.deep or {}) | {offset: time}
        self._judge(state, offset, time, event, late=late, known=known)
        if len(state.seen) >= state.sweep_at:
            sweep(state, self.rules)

    def _judge(
        self, state: AccountState, offset: int, time: int, event: Event, *, late: bool, known: bool
    ) -> None:
        if not late and self.rules.clauses and event.type not in self.rules.handlers:
            self.beat(self.rules.alive_for(event.type), time, offset)
        ctx = self._ctx
        ctx.state, ctx.event, ctx.time, ctx.offset, ctx.position = state, event, time, offset, offset
        ctx.now, ctx.past = self.clock, False
        # a contact that comes with a merged account has had its triggers there
        ctx.silent = late or event.historical or event.type == ABSORBED
        scope = ctx.scope
        scope.event, scope.profile = event, state.profile
        before = NOTHING_BEFORE
        if event.type in UPDATES or event.type == ABSORBED:
            before = self._update(ctx, late=late, known=known)
        elif event.type == "contact.deleted":
            self._erase_contact(state, offset, contact_of(event))
        scope.tier, scope.contact = state.tier, state.contact(event.contact)
        if late:
            self.note("", Reason.LATE)
        else:
            if event.historical:
                state.muted[offset] = time
                self.note("", Reason.HISTORICAL)
            handlers = self.rules.handlers.get(event.type)
            if handlers is not None:
                handlers[state.tier](state, time, offset, event, self, True)
            else:
                for rule in self.rules.listeners(event.type):
                    self._retick |= bool(self._asked(rule, rule.arrive, ctx, self, before))
        if self.rules.has_moments:
            self._settle(state, offset, silent=ctx.silent)

    def _update(self, ctx: Context, *, late: bool, known: bool) -> Mapping[int, object]:
        """Apply an update, then recompute the tier and the moments of dates.

        Returns what each member said before the update, by slot.
        """
        state, event = ctx.state, ctx.event
        assert event is not None  # noqa: S101 - called for events only
        if late and merged_before(state, event):
            return NOTHING_BEFORE
        before = NOTHING_BEFORE
        if known:
            ctx.scope.tier, ctx.scope.contact = state.tier, state.contact(event.contact)
            before = {member.slot: member.before(ctx) for member in self.rules.comparing}
        merge(state.profile, event)
        state.listed = False
        merged_before(state, event)
        if event.type == ABSORBED:
            self._took_in(state, ctx.offset, event, known=known)
        tier = self.rules.tier(state.profile)[0]
        if tier != state.tier:
            state.tier = tier
            state.slack.clear()
            self._reschedule(state, changed=True)
        else:
            for rule, member in self.rules.dated:
                self._asked(rule, member.schedule, ctx, ())
        return before

    def _settle(self, state: AccountState, offset: int, *, silent: bool) -> None:
        """After an event: reschedule ticks that it may have brought nearer, and run moments that it made overdue."""
        ctx = self._ctx
        if self._retick:
            self._retick = False
            ctx.state, ctx.now = state, self.clock
            self._note_tick(ctx)
        self._overdue(state, offset, silent=silent)

    # -- decisions -------------------------------------------------------------------------------------------

    def put_late(self, thresholds: Thresholds, state: AccountState, row: Row) -> int:
        """Put an event that is out of order or historical into a shared series; returns the rules to judge (a mask)."""
        found = put_late(thresholds, state, row)
        return 0 if self._ctx.silent else found

    def judge(
        self,
        due: Iterable[tuple[Thresholds, int]],
        state: AccountState,
        time: int,
        offset: int,
        event: Event,
        late: bool,
    ) -> None:
        """Judge the rules whose windows an event may have made hold, in order; `due` has them as masks by group."""
        asked = [thresholds.group.rules[bit] for thresholds, mask in due for bit in bits(mask)]
        if len(asked) > 1:
            asked.sort(key=lambda one: self.rules.place[one[0].name])
        ctx = self._at(state, time, offset, event)
        for rule, member in asked:
            if late:
                found = self._asked(rule, member.completed, state, time) or []
            else:
                hold = member.check(state, ALL, member.slot, time, offset)
                found = [] if hold is None else [hold]
            if found:
                self._asked(rule, rule.decide, ctx, [(0, hold) for hold in found], self)

    def ask(self, rule: CompiledRule, state: AccountState, time: int, offset: int, event: Event) -> None:
        """Hand an event to a rule that shares no series."""
        ctx = self._at(state, time, offset, event)
        self._retick |= bool(self._asked(rule, rule.arrive, ctx, self))

    def _at(self, state: AccountState, time: int, offset: int, event: Event) -> Context:
        ctx, scope = self._ctx, self._ctx.scope
        if ctx.event is not event or ctx.offset != offset:
            ctx.state, ctx.event, ctx.time, ctx.offset, ctx.position = state, event, time, offset, offset
            ctx.now, ctx.past, ctx.silent = self.clock, False, False
            scope.event, scope.profile, scope.tier = event, state.profile, state.tier
            scope.contact = state.contact(event.contact)
        return ctx

    def fire(self, rule: CompiledRule, ctx: Context, hold: Match, event: Event | None) -> None:
        """Fire a match that has been judged: remember it and make its trigger."""
        state, key = ctx.state, subject_key(rule.slot, hold.subject)
        state.fired.setdefault(key, {})[match_id(hold)] = hold.at
        state.last[key] = max(hold.at, state.last.get(key, hold.at))
        position = Position(self.partition, ctx.position)
        trigger = make_trigger(rule, state, hold, event, self._evidence(state, hold), position)
        self._triggers.append(trigger)
        self.note(rule.name, Reason(trigger.reason))

    def _evidence(self, state: AccountState, hold: Match) -> list[str]:
        if hold.arming is not None:
            return [hold.arming.id]
        offsets = hold.evidence() if hold.evidence is not None else []
        found = ids_of(state, offsets)
        return [found[offset] for offset in offsets if offset in found]
