"""Judges the log of all partitions, one after the other, with the engine that the worker runs, on the log clock.

Records that a merge leaves for other accounts stand on the log already; what does not (rules had not come so far) is
added at the end. Then every partition is carried to the newest time of all.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from backbone.jobs.child import Report
from backbone.jobs.limits import JobFailed
from backbone.jobs.scratch import Scratch
from backbone.log.partitioner import partition_for
from backbone.log.reader import LogReader
from backbone.log.records import EVENTS
from schemas.event import Event, decode, microseconds, rfc3339
from schemas.forwarding import ABSORBED, ERASED
from schemas.rule import RuleIn, TiersDoc
from schemas.trigger import Position, Trigger
from services.rules.backtest.heard import Heard
from services.rules.backtest.history import PartitionHistory, erased_anywhere
from services.rules.backtest.ledger import Ledger
from services.rules.backtest.plan import BASE, Judged, Plan
from services.rules.backtest.spilling import Room, SpillingAccounts
from services.rules.decoding import Item
from services.rules.engine.account_state import AccountState
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.context import Context
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.kinds.base import Match
from services.rules.engine.matches import Matching, matching
from services.rules.engine.processor import PartitionEngine
from services.rules.engine.ruleset import RuleSet, UnknownRevision

STATES_BYTES = 400 << 20  # of account states in memory
SURVEY_SHARE = 0.2  # of the progress that the first reading makes
Sent = tuple[str, str, str]  # account, source and id of a record that a merge left for another account


def rules_of(plan: Plan) -> RuleSet:
    """All rules of the plan in one set. Each has a name of its own there; its triggers are of the rule's."""
    compiled = [_compiled(judged) for judged in plan.rules]
    return RuleSet(1, compiled, TiersDoc.model_validate({"tiers": plan.tiers}), frozenset())


def _compiled(judged: Judged) -> CompiledRule:
    doc = RuleIn.model_validate(judged.doc)
    alone = doc.model_copy(update={"name": judged.series})
    made = CompiledRule(alone, version=judged.version, generation=0, unless_generation=0, status="active")
    made.known_as = doc.name
    return made


class ReplayEngine(PartitionEngine):
    """Also says which rule of the plan each trigger is of: its series."""

    def __init__(
        self,
        number: int,
        history: PartitionHistory,
        rules: RuleSet,
        accounts: SpillingAccounts,
        heartbeats: Iterable[Heartbeat],
    ) -> None:
        super().__init__(
            number,
            clock_mode="log",
            clock=0,
            revision=rules,
            accounts=accounts,
            rulesets=_no_other,
            fetch=history.fetch,
            history=lambda _: (),
            heartbeats=heartbeats,
        )
        self._series: list[str] = []

    def fire(self, rule: CompiledRule, ctx: Context, hold: Match, event: Event | None) -> None:
        """See `PartitionEngine.fire`."""
        super().fire(rule, ctx, hold, event)
        self._series.append(rule.name)

    def adopted(self, state: AccountState) -> AccountState:
        """A state, brought in step with the rules if it comes from disk."""
        if state.revision != self.rules.revision and state.profile.closed is None:
            self._adopt(state)
        return state

    def fired(self) -> list[tuple[str, Trigger]]:
        """The triggers since the last call, each with its series."""
        series, self._series = self._series, []
        return list(zip(series, self.drain(), strict=True))


class Lane:
    """One partition of the backtest."""

    def __init__(self, history: PartitionHistory, accounts: SpillingAccounts, engine: ReplayEngine) -> None:
        self.number, self.history, self.accounts, self.engine = engine.partition, history, accounts, engine
        self.next = 0  # the number of the next record


def _no_other(number: int) -> RuleSet:
    raise UnknownRevision(str(number))


class Replay:
    """One backtest."""

    def __init__(self, plan: Plan, log: LogReader, scratch: Scratch, report: Report) -> None:
        self._log, self._report = log, report
        self._rules = rules_of(plan)
        self._heard = Heard(self._rules.clauses)
        self.ledger = Ledger(plan, scratch)
        starts, ends = log.start_offsets(EVENTS), log.end_offsets(EVENTS)
        self._histories = {
            number: PartitionHistory(log, number, scratch, starts[number], ends[number])
            for number in range(log.partitions)
        }
        self._room = Room(STATES_BYTES, scratch)
        self._lanes: dict[int, Lane] = {}
        self._records = sum(ends[number] - starts[number] for number in ends)
        self._elsewhere: set[str] = set()
        self._expected: Counter[Sent] = Counter()  # records that merges left, and the log has not shown yet
        self._shown: Counter[Sent] = Counter()  # records that the log has shown before a merge left them
        self._values: dict[Sent, bytes] = {}
        self.events = 0
        self.first: int | None = None  # the earliest event
        self.reasons: Counter[tuple[str, str]] = Counter()

    def run(self) -> dict[str, Any]:
        """Judge everything; returns the numbers."""
        self._survey()
        self._elsewhere = erased_anywhere(self._histories)
        read = 0
        for number, history in self._histories.items():
            accounts = SpillingAccounts(self._room, self._elsewhere)
            engine = ReplayEngine(number, history, self._rules, accounts, self._heard.beside(number))
            lane = self._lanes[number] = Lane(history, accounts, engine)
            for records, items in history.batches():
                self._judge(lane, items)
                read += records
                self._tell(SURVEY_SHARE + (1 - SURVEY_SHARE) * 0.97 * read / max(1, self._records))
        self._left_over()
        self._carry_on()
        for lane in self._lanes.values():
            for why in lane.engine.unhealthy.values():
                raise JobFailed(f"the rule failed: {why}")
        return self._numbers()

    def _survey(self) -> None:
        read = 0
        for history in self._histories.values():
            for records in history.survey(self._heard):
                read += records
                self._tell(SURVEY_SHARE * read / max(1, self._records))

    def _tell(self, share: float) -> None:
        self._report.progress(min(share, 0.99))

    # -- judging

    def _judge(self, lane: Lane, items: list[Item]) -> None:
        items = self._known(lane, items)
        if not items:
            return
        times = [event.time for _, _, event in items if event.time is not None]
        earliest = microseconds(min(times)) if times else None
        if earliest is not None and (self.first is None or earliest < self.first):
            self.first = earliest
        self.events += len(items)
        for _, _, event in items:
            if event.mergedfrom is not None or event.type in (ABSORBED, ERASED):
                self._met(event)
        lane.engine.apply(items)
        lane.next = items[-1][0] + 1
        self._collect(lane)

    def _known(self, lane: Lane, items: list[Item]) -> list[Item]:
        """Without the events of accounts that belong to another partition, whose order is lost."""
        accounts, partitions = lane.accounts, self._log.partitions
        names = {event.account for _, _, event in items if event.account is not None}
        accounts.prefetch(names)
        strange = {
            name
            for name in names
            if name not in accounts.states and partition_for(name, partitions) != lane.number
        }
        return [item for item in items if item[2].account not in strange] if strange else items

    def _collect(self, lane: Lane) -> None:
        engine = lane.engine
        engine.take_told()  # the others know already
        for series, trigger in engine.fired():
            place = trigger.position
            if place.offset != (offset := lane.history.place(place.offset)):
                trigger.position = Position(place.partition, offset)
            self.ledger.add(series, trigger)
        out = engine.take_out()
        self.ledger.erase([(one.account, one.contact) for one in out.erased])
        for sent in out.sent:
            self._sent(sent.account, sent.value)
        self.reasons += engine.reasons
        lane.accounts.weigh(engine.touched)
        engine.forget_changes()
        self._room.relieve()

    # -- merges

    def _sent(self, account: str, value: bytes) -> None:
        """A merge left this record for another account."""
        event = decode(value, place="", timestamp=0)
        name = (account, event.source, event.id)
        if self._shown[name] > 0:
            self._shown[name] -= 1
            return
        self._expected[name] += 1
        self._values[name] = value

    def _met(self, event: Event) -> None:
        """The log shows a record that a merge has left, or will leave."""
        name = (event.account or "", event.source, event.id)
        if self._expected[name] > 0:
            self._expected[name] -= 1
            self._values.pop(name, None)
        else:
            self._shown[name] += 1

    def _left_over(self) -> None:
        """Judge what merges left and the log does not show: rules had not come so far."""
        while self._values:
            values, self._values = self._values, {}
            self._expected.clear()
            for (account, _, _), value in values.items():
                lane = self._lanes[partition_for(account, self._log.partitions)]
                number, event = lane.history.add(value)
                lane.accounts.prefetch([account])
                lane.engine.apply([(number, lane.engine.clock, event)])
                lane.next = number + 1
                self._collect(lane)

    # -- the end

    def matches(self) -> Iterator[Matching]:
        """Who matches the rule at the newest time of all, and all others with their shares."""
        rule = self._rules.by_name[BASE]
        for lane in self._lanes.values():
            engine = lane.engine
            for state in lane.accounts.all():
                own = engine.adopted(state)
                yield from matching(self._rules, rule, own, engine.clock, 0.0, engine.heartbeats)

    def _carry_on(self) -> None:
        """Carry every partition to the newest time of all."""
        newest = max((lane.engine.clock for lane in self._lanes.values()), default=0)
        for lane in self._lanes.values():
            for to in _steps(lane.engine, newest):
                lane.engine.advance_to(to, lane.next)
                self._collect(lane)

    def _numbers(self) -> dict[str, Any]:
        decisions: Counter[str] = Counter()
        for (rule, reason), count in self.reasons.items():
            if rule in ("", BASE):
                decisions[reason] += count
        return {
            "log_from": None if self.first is None else rfc3339(self.first),
            "events": self.events,
            "accounts": sum(len(lane.accounts) for lane in self._lanes.values()),
            "decisions": dict(decisions),
            **self.ledger.result(),
        }


def _steps(engine: PartitionEngine, newest: int) -> Iterator[int]:
    """Times up to the newest, so that states can go back to disk between."""
    day = 86_400_000_000
    while (due := engine.next_due) is not None and due <= newest:
        yield min(newest, max(due, engine.clock) + day)
    yield newest
