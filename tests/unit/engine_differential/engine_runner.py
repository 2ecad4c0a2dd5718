"""Runs the engine on the oracle's histories: records in batches, restarts, and triggers in the oracle's words."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.event import MERGED, RULES_SAVED, Event, decode
from schemas.rule import RuleIn, TiersDoc
from schemas.trigger import Trigger
from services.rules.engine.account_state import AccountState
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.processor import PartitionEngine
from services.rules.engine.ruleset import RuleRevision, RuleSet, compile_rules, next_generations
from services.rules.engine.state_codec import decode as decode_state
from services.rules.engine.state_codec import encode as encode_state
from tests.oracle.history import History, Revision
from tests.oracle.times import SECOND, format_time, parse_time

JSON = dict[str, Any]
GRACE = SECOND


@dataclass(frozen=True)
class Cut:
    """How a log is read: the sizes of the batches in turn, and the batches after which the worker starts anew."""

    sizes: tuple[int, ...] = (1000,)
    restarts: tuple[bool, ...] = (False,)


class Accounts:
    """All account states in memory; a restart leaves only their bytes."""

    def __init__(self, blobs: dict[str, bytes] | None = None) -> None:
        self.states = {name: decode_state(blob) for name, blob in (blobs or {}).items()}

    def get(self, account: str) -> AccountState | None:
        return self.states.get(account)

    def prefetch(self, names: Iterable[str]) -> None:
        pass

    def put_new(self, state: AccountState) -> None:
        self.states[state.account] = state

    def forget(self, account: str) -> None:
        self.states.pop(account, None)

    def erased(self, account: str) -> bool:
        return False

    def all(self, touched: Collection[str] = ()) -> Iterator[AccountState]:
        return iter(list(self.states.values()))

    def stored(self) -> dict[str, bytes]:
        return {name: encode_state(state) for name, state in self.states.items()}


@dataclass
class Book:
    """The revisions of a history, compiled, with the generations that the API's saves give them."""

    fastpath: bool = True
    sets: dict[int, RuleSet] = field(default_factory=dict)
    rows: dict[str, RuleRevision] = field(default_factory=dict)

    def __call__(self, number: int) -> RuleSet:
        return self.sets[number]

    def add(self, number: int, revision: Revision) -> None:
        rows = [self._row(doc) for doc in revision.rules]
        tiers = TiersDoc.model_validate({"tiers": revision.tier_policy()})
        self.sets[number] = compile_rules(number, rows, tiers, fastpath=self.fastpath)
        self._mark_gone({row.name for row in rows})
        self.rows.update({row.name: row for row in rows})

    def _mark_gone(self, present: set[str]) -> None:
        for name, row in self.rows.items():
            if name not in present and row.status != "deleted":
                self.rows[name] = _with_status(row, "deleted")

    def _row(self, doc: JSON) -> RuleRevision:
        rule = RuleIn.model_validate({**doc, "backfill": False})
        backfill = doc.get("backfill", False)
        old = self.rows.get(rule.name)
        status = rule.status or "draft"
        if old is None:
            return RuleRevision(rule.name, 1, 0, status, rule, backfill)
        if old.doc == rule and (old.status, old.backfill) == (status, backfill):
            return old
        if old.status in ("deleted", "draft") or backfill:
            generations = (old.generation + 1, old.unless_generation + 1)
        else:
            generations = next_generations(old.doc, rule, old.generation, old.unless_generation)
        return RuleRevision(
            rule.name, old.version + 1, generations[0], status, rule, backfill, generations[1]
        )


def _with_status(row: RuleRevision, status: str) -> RuleRevision:
    return RuleRevision(row.name, row.version, row.generation, status, row.doc, False, row.unless_generation)


def _event(body: JSON, offset: int, receipt: int) -> Event:
    return decode(msgspec.json.encode(body), place=f"touchline.events/0/{offset}", timestamp=receipt)


def _records(history: History, book: Book) -> Iterator[tuple[int, JSON]]:
    """(receipt, event as on the wire) of every record, the control records of the saves among them."""
    saves = list(history.config)
    numbers = itertools.count(1)
    receipt = history.events[0][1] if history.events else 0

    def save() -> JSON:
        number = next(numbers)
        book.add(number, saves.pop(0)[1])
        name = f"revision-{number}"
        time = format_time(receipt)
        return {
            "type": RULES_SAVED,
            "id": name,
            "source": "touchline",
            "time": time,
            "data": {"revision": number},
        }

    for offset, received, event in history.events:
        while saves and saves[0][0] <= offset:
            yield receipt, save()
        receipt = received
        yield receipt, event
    while saves:
        yield receipt, save()
    if history.final_clock is not None and history.clock == "log":
        time = format_time(history.final_clock)
        yield receipt, {"type": "touchline.clock", "id": "end", "source": "touchline", "time": time}


class _Worker:
    """One engine after another over the same log."""

    def __init__(self, history: History, *, fastpath: bool) -> None:
        self.wall = history.clock == "wall"
        self.book = Book(fastpath)
        self.book.add(0, Revision())
        records = [
            (offset, receipt, _event(body, offset, receipt))
            for offset, (receipt, body) in enumerate(_records(history, self.book))
        ]
        self.log: list[tuple[int, int, Event]] = []
        self.triggers: list[Trigger] = []
        self.blobs: dict[str, bytes] = {}
        self.accounts = Accounts()
        self.hearts: dict[str, bytes] = {}
        self.engine = self._start(0, 0)
        if any(event.type == MERGED for _, _, event in records):
            records = self._with_what_merges_leave(records)
        self.log = records

    def _with_what_merges_leave(self, records: list[tuple[int, int, Event]]) -> list[tuple[int, int, Event]]:
        """The records, each followed by the events that it leaves for other accounts."""
        waiting = deque((receipt, event) for _, receipt, event in records)
        while waiting:
            receipt, event = waiting.popleft()
            self.log.append((len(self.log), receipt, event))
            self.engine.apply([(len(self.log) - 1, receipt - GRACE, event)])
            sent = [decode(one.value, place="", timestamp=0) for one in self.engine.take_out().sent]
            waiting.extendleft((receipt, one) for one in reversed(sent))
        complete, self.log, self.hearts = self.log, [], {}
        self.accounts = Accounts()
        self.engine = self._start(0, 0)
        return complete

    def _start(self, clock: int, revision: int) -> PartitionEngine:
        engine = PartitionEngine(
            0,
            clock_mode="wall" if self.wall else "log",
            clock=clock,
            revision=self.book(revision),
            accounts=self.accounts,
            rulesets=self.book,
            fetch=lambda offset: self.log[offset][2],
            history=lambda upto: iter([(offset, 0, event) for offset, _, event in self.log[:upto]]),
            heartbeats=[Heartbeat.restored(blob) for blob in self.hearts.values()],
        )
        engine.schedule([(s.due, s.account) for s in self.accounts.all() if s.due is not None])
        return engine

    def batch(self, records: Sequence[tuple[int, int, Event]], *, restart: bool) -> None:
        self.engine.apply([(offset, receipt - GRACE, event) for offset, receipt, event in records])
        self._collect()
        if restart:
            assert set(self.blobs) == set(self.accounts.states)
            self.accounts = Accounts(self.blobs)
            self.engine = self._start(self.engine.clock, self.engine.revision_number)

    def advance_to(self, clock: int) -> None:
        self.engine.advance_to(clock, len(self.log))
        self._collect()

    def _collect(self) -> None:
        """Collect what the worker commits: the triggers, and the states of touched accounts."""
        self.triggers += self.engine.drain()
        touched = self.engine.touched
        self.blobs |= {
            name: encode_state(state) for name, state in self.accounts.states.items() if name in touched
        }
        for name in self.blobs.keys() - self.accounts.states.keys():
            del self.blobs[name]  # erased
        for key, heart in self.engine.take_heartbeats().items():
            self.hearts.pop(key, None)
            if heart is not None:
                self.hearts[key] = heart.stored()
        self.engine.forget_changes()
        assert self.engine.unhealthy == {}


@dataclass(frozen=True)
class Outcome:
    """The result of reading a whole history: the triggers in order, the stored states by account, the last rules."""

    triggers: list[Trigger]
    stored: dict[str, bytes]
    rules: RuleSet


def run_engine(history: History, cut: Cut | None = None) -> list[Trigger]:
    """Every trigger that the engine makes for a history, read as `cut` says."""
    return read_history(history, cut).triggers


def read_history(history: History, cut: Cut | None = None, *, fastpath: bool = True) -> Outcome:
    """Run the engine over a history, read as `cut` says, with its fast path or without."""
    cut = cut or Cut()
    worker = _Worker(history, fastpath=fastpath)
    sizes, restarts = itertools.cycle(cut.sizes), itertools.cycle(cut.restarts)
    at = 0
    while at < len(worker.log):
        size = next(sizes)
        worker.batch(worker.log[at : at + size], restart=next(restarts))
        at += size
    if history.final_clock is not None and history.clock == "wall":
        worker.advance_to(history.final_clock)
    return Outcome(worker.triggers, worker.accounts.stored(), worker.engine.rules)


def plain(trigger: Trigger) -> JSON:
    """A trigger of the engine in the oracle's words."""
    event = trigger.event
    return {
        "rule": trigger.rule,
        "account": trigger.account,
        "contact": trigger.contact,
        "contact_subject": trigger.contact if trigger.scope == "contact" else None,
        "key": trigger.key,
        "tier": trigger.tier,
        "at": parse_time(trigger.at),
        "event_id": trigger.event_id,
        "event": (event.source, event.id, parse_time(event.time)) if event is not None else None,
        "value": trigger.value,
        "value_exact": trigger.value_exact,
        "threshold": trigger.threshold,
        "evidence": trigger.evidence,
        "figures": trigger.figures,
        "shadow": trigger.shadow,
        "depth": trigger.depth,
        "position": trigger.position.offset,
    }
