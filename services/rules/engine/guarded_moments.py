"""Holds back the moments of rules with `alive` until it is known that their source was not silent.

An account with such a moment stands on the list of the clause until the moment is decided, and stays due (`due_at`)
at the time at which the moment would have come without silences. So it is found again after a restart.
"""

from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush

from schemas.event import SOURCE_SEEN, Event, microseconds
from schemas.heartbeats import AliveClause, Run, seen_of
from schemas.reasons import Reason
from services.rules.engine.account_state import AccountState, SubjectKey, slot_of
from services.rules.engine.backfill import History
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.context import Context
from services.rules.engine.heartbeats import Change, Heartbeat
from services.rules.engine.kinds.base import MOMENT, Match
from services.rules.engine.ports import AccountStates
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.timer_heap import HELD, note
from services.rules.engine.timers import Timers
from services.rules.engine.windows.series import FOREVER


class HeldList:
    """The accounts with moments that a clause holds back: those that wait for a heartbeat after a time, and others."""

    def __init__(self) -> None:
        self.accounts: dict[
            str, int
        ] = {}  # to the time after which a heartbeat decides; FOREVER: moved, ahead
        self._heap: list[tuple[int, str]] = []

    def put(self, account: str, at: int) -> None:
        """Add an account, or change its time."""
        if self.accounts.get(account) != at:
            self.accounts[account] = at
            if at < FOREVER:
                heappush(self._heap, (at, account))

    def take(self, last: int) -> list[str]:
        """Take out the accounts that a heartbeat at this time may decide, in time order."""
        found = []
        while self._heap and self._heap[0][0] <= last:
            at, account = heappop(self._heap)
            if self.accounts.get(account) == at:
                del self.accounts[account]
                found.append(account)
        return found


class GuardedMoments(Timers):
    """The part of a partition's engine that knows heartbeats."""

    def __init__(
        self, rules: RuleSet, clock: int, accounts: AccountStates, heartbeats: Iterable[Heartbeat] = ()
    ) -> None:
        super().__init__(rules, clock, accounts)
        known = {one.clause.key: one for one in heartbeats}
        self._hearts: dict[str, Heartbeat] = {
            key: known.get(key) or Heartbeat(clause) for key, clause in rules.clauses.items()
        }
        self._ctx.heartbeats = self._hearts
        self._lists: dict[str, HeldList] = {key: HeldList() for key in self._hearts}
        self._unsaved: set[str] = set()  # clauses whose heartbeats have changed, or that are gone
        self.told: list[tuple[AliveClause, Run]] = []  # for the other partitions

    @property
    def heartbeats(self) -> Mapping[str, Heartbeat]:
        """The heartbeats, by the key of their clause."""
        return self._hearts

    def take_heartbeats(self) -> dict[str, Heartbeat | None]:
        """The heartbeats that have changed since the last call; None: the clause is gone."""
        changed, self._unsaved = self._unsaved, set()
        return {key: self._hearts.get(key) for key in sorted(changed)}

    def take_told(self) -> list[tuple[AliveClause, list[Run]]]:
        """What the other partitions are to know since the last call, by clause."""
        told, self.told = self.told, []
        found: dict[str, Heartbeat] = {}
        for clause, run in told:
            found.setdefault(clause.key, Heartbeat(clause)).hear(*run)
        return [(heart.clause, heart.runs()) for _, heart in sorted(found.items())]

    # -- hearing ---------------------------------------------------------------------------------------------

    def saw(self, type_: str, time: int, next_offset: int) -> None:
        """An event of this type has come in another partition (for backtests, which read all of them abreast)."""
        for key in self.rules.alive_for(type_):
            self._hear(key, (time, time), next_offset - 1)

    def beat(self, clauses: tuple[str, ...], time: int, offset: int) -> None:
        """An event of ours that these clauses want. Moments that it decides come before it."""
        for key in clauses:
            change = self._hear(key, (time, time), offset - 1)
            if change is not Change.NOTHING:
                heart = self._hearts[key]
                self.told += [(heart.clause, run) for run in heart.untold(time, change)]

    def _told(self, event: Event, offset: int) -> None:
        """Another partition tells of its events."""
        seen = seen_of(event)
        heart = self._hearts.get(seen[0].key) if seen is not None else None
        if seen is None or heart is None:
            return  # no rule asks for these events any more
        for run in seen[1]:
            self.told += [(heart.clause, tail) for tail in heart.tail(run[0])]
            self._hear(heart.clause.key, run, offset - 1)
            heart.told = run[1] if heart.told is None else max(heart.told, run[1])

    def _hear(self, key: str, run: Run, position: int) -> Change:
        """Count a run of events, and run the moments that it decides."""
        if self._heap and self._heap[0][0] <= self.clock:
            self._advance(self.clock, position)  # accounts that a restart has not looked at yet
        heart, listed = self._hearts[key], self._lists[key]
        change = heart.hear(*run)
        if change is Change.NOTHING:
            return change
        self._unsaved.add(key)
        late = change is Change.SILENCES
        for account in list(listed.accounts) if late else listed.take(run[1]):
            self._decide_held(account, position)
        return change

    def _decide_held(self, account: str, position: int) -> None:
        """Look again at an account's moments that are held back."""
        state = self._state(account)
        if state is None or not (state.waits or state.held):
            self._unlist(account)
            return
        ctx = self._ctx
        ctx.state, ctx.event, ctx.offset, ctx.position = state, None, MOMENT, position
        ctx.past, ctx.silent, ctx.now, ctx.time = False, False, self.clock, self.clock
        ctx.scope.event, ctx.scope.profile, ctx.scope.tier = None, state.profile, state.tier
        self._moment(ctx, {*state.waits, HELD})
        self.touched.add(account)
        self._wake(state)

    # -- moments ---------------------------------------------------------------------------------------------

    def _moment(self, ctx: Context, keys: set[SubjectKey]) -> None:
        held = HELD in keys
        keys.discard(HELD)
        if keys:
            super()._moment(ctx, keys)
            self._note_silence(ctx, keys)
        if held:
            self._held_ticks(ctx)

    def _note_silence(self, ctx: Context, keys: set[SubjectKey]) -> None:
        for key in keys & ctx.state.waits.keys():
            wait, part = ctx.state.waits[key], self.rules.parts.get(slot_of(key))
            heart = self._hearts.get(wait.clause)
            if (
                wait.at is not None
                and heart is not None
                and part is not None
                and ctx.time >= heart.silent_from
            ):
                self.note(part.rule.name, Reason.SOURCE_SILENT)

    def _held_back(self, ctx: Context, rule: CompiledRule) -> bool:
        heart = rule.members[0].heartbeat(ctx)
        if heart is None:
            return False
        if not heart.settles(ctx.time, ctx.now):
            first = rule.members[0].first_tick(ctx)
            if first is None or first > ctx.time:
                return True  # it cannot hold
            waiting = ctx.state.held.setdefault(rule.slot, [])
            if ctx.time not in waiting:
                waiting.append(ctx.time)
            note(ctx.state, heart.silent_from, HELD)
            return True
        return self._passed_over(ctx, rule, heart)

    def _passed_over(self, ctx: Context, rule: CompiledRule, heart: Heartbeat) -> bool:
        if not heart.passes_over(ctx.time, rule.members[0].looks_at(ctx.time)):
            return False
        self.note(rule.name, Reason.SOURCE_SILENT)
        return True

    def _held_ticks(self, ctx: Context) -> None:
        """Decide the daily ticks that have waited for a heartbeat, as far as they can be decided now."""
        state, time = ctx.state, ctx.time
        for slot in list(state.held):
            rule, waiting = self.rules.rule_slots.get(slot), state.held.pop(slot)
            if rule is None or not rule.ticks:
                continue
            found: list[tuple[int, Match]] = []
            for at in waiting:
                ctx.time = at
                heart = rule.members[0].heartbeat(ctx)
                if heart is not None and not heart.settles(at, ctx.now):
                    state.held.setdefault(slot, []).append(at)
                    note(state, heart.silent_from, HELD)
                elif heart is None or not self._passed_over(ctx, rule, heart):
                    found += [(0, hold) for hold in self._asked(rule, rule.members[0].tick, ctx) or ()]
            self._asked(rule, rule.decide, ctx, found, self)
        ctx.time = time

    # -- lists -----------------------------------------------------------------------------------------------

    def _reschedule(self, state: AccountState, *, changed: bool = False) -> None:
        state.waits.clear()
        super()._reschedule(state, changed=changed)
        if not state.held:
            return
        looks = []
        for slot, waiting in state.held.items():
            rule = self.rules.rule_slots.get(slot)
            heart = rule.members[0].heartbeat(self._ctx) if rule is not None else None
            waits = heart is not None and not heart.settles(waiting[0], self.clock)
            looks.append(heart.silent_from if heart is not None and waits else self.clock)
        note(state, min(looks), HELD)
        self._wake(state)

    def _wake(self, state: AccountState) -> None:
        super()._wake(state)
        if not self._lists:
            return
        listed: dict[str, int] = {}
        for wait in state.waits.values():
            at = FOREVER if wait.at is None else wait.at
            listed[wait.clause] = min(at, listed.get(wait.clause, FOREVER))
        for slot, waiting in state.held.items():
            rule = self.rules.rule_slots.get(slot)
            if rule is not None and rule.alive is not None:
                key = rule.alive.key
                listed[key] = min(waiting[0], listed.get(key, FOREVER))
        for key, held in self._lists.items():
            if key in listed:
                held.put(state.account, listed[key])
            else:
                held.accounts.pop(state.account, None)
        bounds = [wait.bound for wait in state.waits.values()] + [ticks[0] for ticks in state.held.values()]
        state.due = min([*bounds, *([] if state.due is None else [state.due])], default=None)

    def _unlist(self, account: str) -> None:
        for held in self._lists.values():
            held.accounts.pop(account, None)

    # -- saves -----------------------------------------------------------------------------------------------

    def _guard(
        self, new: RuleSet, fresh: list[CompiledRule], offset: int, history: Callable[[], History]
    ) -> None:
        """Keep the heartbeats that a save's rules ask for. A longer `within` goes on from what the old one heard; where
        too little is known, the log says what has come, for the source may have fallen silent before the save."""
        before = dict(self._hearts)
        for key in [key for key in self._hearts if key not in new.clauses]:
            del self._hearts[key], self._lists[key]
            self._unsaved.add(key)
        wanted = [rule.alive for rule in fresh if rule.alive is not None]
        for key, clause in new.clauses.items():
            if key in self._hearts:
                continue
            made = self._hearts[key] = Heartbeat(clause)
            self._lists[key] = HeldList()
            finer = [other for other in before.values() if other.clause.is_finer(clause)]
            if finer:
                made.take(min(finer, key=lambda one: one.clause.within))
                self._unsaved.add(key)
            else:
                wanted.append(clause)
        if wanted:
            self._recall(wanted, offset, history())

    def _recall(self, wanted: list[AliveClause], offset: int, history: History) -> None:
        """Add what the log holds to the heartbeats of these clauses, and tell the other partitions of it."""
        found = {clause.key: Heartbeat(clause) for clause in wanted}
        for _, _, event in history:
            seen = seen_of(event) if event.type == SOURCE_SEEN else None
            time = microseconds(event.time) if event.time is not None else 0
            for heart in found.values():
                if seen is not None and seen[0].types == heart.clause.types:
                    for run in seen[1]:
                        if seen[0].is_finer(heart.clause):
                            heart.hear(*run)
                        else:  # of what lies between, nothing is known
                            heart.hear(run[0], run[0])
                            heart.hear(run[1], run[1])
                elif heart.clause.listens(event.type):
                    heart.hear(time, time)
        # First those of which nothing is known: with them no moment is decided before all of it is.
        for key in sorted(found, key=lambda key: (self._hearts[key].last is not None, key)):
            heart, mine = found[key], self._hearts[key]
            if mine.last is None:
                mine.take(heart)
                self._unsaved.add(key)
            for run in heart.runs():
                self._hear(key, run, offset)
                self.told.append((heart.clause, run))
            mine.told = mine.last
