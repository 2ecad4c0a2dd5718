"""A log in memory, a backtest over it in this process, and what a server with the log clock makes of the same log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backbone.jobs.child import Report
from backbone.jobs.scratch import Scratch
from backbone.log import EVENTS, OffsetOutOfRange, Record, partition_for
from schemas.event import CLOCK, CONTROL, Event, decode
from schemas.rule import RuleIn, TiersDoc
from schemas.trigger import Trigger
from services.rules.backtest import standing
from services.rules.backtest.ledger import triggers_in
from services.rules.backtest.plan import BASE, Judged, Plan
from services.rules.backtest.replay import Replay
from services.rules.engine.matches import matching
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine
from services.rules.engine.ruleset import RuleRevision, compile_rules

JSON = dict[str, Any]
DISK = 1 << 28


class MemoryLog:
    """A log to read, in memory: JSON bodies by partition."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.lanes: list[list[Record]] = [[] for _ in range(partitions)]

    def append(self, body: JSON, receipt: int = 0) -> None:
        """Append an event to its account's partition; a clock goes to all."""
        account = body.get("account")
        numbers = range(self.partitions) if account is None else [partition_for(account, self.partitions)]
        for number in numbers:
            lane = self.lanes[number]
            lane.append(Record(EVENTS, number, len(lane), account, msgspec.json.encode(body), receipt))

    def start_offsets(self, _: str) -> dict[int, int]:
        return dict.fromkeys(range(self.partitions), 0)

    def end_offsets(self, _: str) -> dict[int, int]:
        return {number: len(lane) for number, lane in enumerate(self.lanes)}

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        lane = self.lanes[partition]
        if not 0 <= offset <= len(lane):
            raise OffsetOutOfRange(topic, partition, offset, 0, len(lane))
        return lane[offset : offset + limit]

    def close(self) -> None:
        pass


class Told(Report):
    """Keeps the parts of the result."""

    def __init__(self) -> None:
        self.parts: dict[str, list[JSON]] = {}
        self.shares: list[float] = []

    def progress(self, share: float) -> None:
        self.shares.append(share)

    def part(self, series: str, count: int, body: bytes) -> None:
        found = triggers_in(body)
        assert len(found) == count
        self.parts.setdefault(series, []).extend(found)


@dataclass
class Outcome:
    """The numbers of a backtest, and its triggers by series."""

    numbers: JSON
    series: dict[str, list[JSON]]
    shares: list[float] = field(default_factory=list)

    def of(self, series: str = BASE) -> list[JSON]:
        return self.series.get(series, [])


def backtest(
    log: MemoryLog,
    rules: Sequence[tuple[str, JSON]],
    tiers: list[JSON],
    *,
    begin: int | None = None,
    end: int | None = None,
    disk: int = DISK,
) -> Outcome:
    """Judge (series, rule) over the log, as the process does."""
    values = [doc for series, doc in rules if series.isdigit()]
    judged = [Judged(series, {**doc, "status": "active"}, 1) for series, doc in rules]
    told = Told()
    scratch = Scratch(disk)
    replay = Replay(Plan(judged, tiers, begin, end, values), log, scratch, told)
    numbers = replay.run()
    replay.ledger.tell(told.part)
    standing.tell(replay.matches(), told.part)
    return Outcome(numbers, told.parts, told.shares)


def live(log: MemoryLog, rule: JSON, tiers: list[JSON], *, append: bool = False) -> list[Trigger]:
    """The triggers that a server with the log clock has in the end, slowly: one record at a time.

    `append`: the log holds only what came from outside, and what merges leave for others is appended to it.
    """
    return _Server(log, rule, tiers).run(append=append)


def matches(log: MemoryLog, rule: JSON, tiers: list[JSON]) -> list[JSON]:
    """Who matches the rule on that server in the end, and with which share."""
    server = _Server(log, rule, tiers)
    server.run(append=False)
    found = []
    for engine in server.engines:
        states = engine._accounts.all()
        for one in (
            one for s in states for one in matching(engine.rules, engine.rules.rules[0], s, engine.clock, 0)
        ):
            found.append({"account": one.account, "contact": one.contact, "key": one.key, "share": one.share})
    return found


class _Server:
    def __init__(self, log: MemoryLog, rule: JSON, tiers: list[JSON]) -> None:
        self.log = log
        revision = RuleRevision(rule["name"], 1, 0, "active", RuleIn.model_validate(rule))
        rules = compile_rules(1, [revision], TiersDoc.model_validate({"tiers": tiers}))
        self.triggers: list[Trigger] = []
        self.given: list[list[Event]] = [[] for _ in log.lanes]
        self.engines = [
            PartitionEngine(
                number, clock_mode="log", clock=0, revision=rules, accounts=InMemoryAccounts(),
                rulesets=lambda _: rules, fetch=self.given[number].__getitem__, history=lambda _: (),
            )
            for number in range(log.partitions)
        ]  # fmt: skip

    def run(self, *, append: bool) -> list[Trigger]:
        if append:
            places = [0] * self.log.partitions
            while any(place < len(lane) for place, lane in zip(places, self.log.lanes, strict=True)):
                for number, lane in enumerate(self.log.lanes):
                    if places[number] < len(lane):
                        record = lane[places[number]]
                        places[number] += 1
                        for account, value in self.feed(number, _event(record)):
                            self.log.append({**msgspec.json.decode(value), "account": account})
        else:
            for number, lane in enumerate(self.log.lanes):
                for event in reading_order(lane):
                    self.feed(number, event)
        newest = max(engine.clock for engine in self.engines)
        for number, engine in enumerate(self.engines):
            engine.advance_to(newest, len(self.given[number]))
            self.collect(engine)
        return self.triggers

    def feed(self, number: int, event: Event) -> list[tuple[str, bytes]]:
        if event.type in CONTROL and event.type != CLOCK:
            return []
        given, engine = self.given[number], self.engines[number]
        given.append(event)
        engine.apply([(len(given) - 1, 0, event)])
        return self.collect(engine)

    def collect(self, engine: PartitionEngine) -> list[tuple[str, bytes]]:
        self.triggers += engine.drain()
        out = engine.take_out()
        for _, account, contact in out.erased:
            self.triggers = [
                one
                for one in self.triggers
                if one.account != account or (contact is not None and one.contact != contact)
            ]
        engine.forget_changes()
        assert engine.unhealthy == {}
        return [(sent.account, sent.value) for sent in out.sent]


def _event(record: Record) -> Event:
    place = f"{record.topic}/{record.partition}/{record.offset}"
    return decode(record.value, place=place, timestamp=record.timestamp)


def reading_order(lane: list[Record]) -> list[Event]:
    """A partition as a backtest reads it: history first, in time order; nothing from before an erasure."""
    events = [(record.offset, _event(record), b'"time"' in record.value) for record in lane]
    gone = {event.account: offset for offset, event, _ in events if event.type == "account.deleted"}
    events = [one for one in events if one[0] >= gone.get(one[1].account, -1)]
    updates = ("account.updated", "contact.updated")
    undated = [one for one in events if one[1].historical and one[1].type in updates and not one[2]]
    dated = [one for one in events if one[1].historical and one not in undated]
    dated.sort(key=lambda one: (one[1].time, one[0]))
    rest = [one for one in events if one not in dated]
    ordered = [*dated, *rest]
    for one in undated:
        first = next(place for place, other in enumerate(ordered) if other[1].account == one[1].account)
        if ordered[first] is not one:
            ordered.remove(one)
            one[1].time = ordered[first][1].time
            while ordered[first:] and ordered[first] in undated and ordered[first][0] < one[0]:
                first += 1
            ordered.insert(first, one)
    for _, event, _ in ordered:
        event.historical = False
    return [event for _, event, _ in ordered]


def told(trigger: Trigger) -> JSON:
    """A trigger as a backtest gives it, without its place in the log."""
    body: JSON = msgspec.to_builtins(trigger)
    return {name: value for name, value in body.items() if name != "position"}


def sorted_by_id(triggers: list[JSON]) -> list[JSON]:
    bare = [{name: value for name, value in one.items() if name != "position"} for one in triggers]
    return sorted(bare, key=lambda one: (one["at"], str(one["id"])))
