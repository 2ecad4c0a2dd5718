"""`alive` over several partitions, which tell one another of heartbeats: exact, but for a tenth of `within`.

What a partition takes for a silence is one. Only of the newest heartbeat it may not have heard yet, if another came
less than a tenth of `within` before. So it may decide that much later, and may pass over a tick in a gap that was
nearly as long as a silence.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.event import CLOCK, Event, from_microseconds
from schemas.heartbeats import records_of
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine
from services.rules.engine.ruleset import RuleSet
from tests.oracle import History, Revision, run
from tests.oracle.alive import Source
from tests.oracle.times import DAY, HOUR, MINUTE, format_time, parse_time
from tests.unit.engine_differential.engine_runner import Book

JSON = dict[str, Any]
BASE = parse_time("2026-01-26T00:00:00Z")
WITHIN, TENTH = 10 * HOUR, HOUR
ALIVE = {"event": "*", "within": "10h"}
RULES: tuple[JSON, ...] = (
    {"name": "gone", "when": {"absence": {"event": "login", "for": "2d"}}},
    {"name": "few", "when": {"threshold": {"event": "login", "within": "2d", "at_most": 1}}, "cooldown": "0s"},
    {"name": "less", "when": {
        "trend": {"event": "login", "over": "1d", "baseline": "2d", "falls_by": 10, "min_baseline": 1},
    }, "cooldown": "0s"},
)  # fmt: skip
PARTITION = {"a": 0, "b": 1, "c": 1, "d": 2}
GAPS = st.sampled_from(
    (1, 1, 1, 2, 3, 5, 9, 20, 26, 27, 28, 29, 30, 31, 32, 33, 60, 100, 200)
)  # twenty minutes
EVENTS = st.lists(
    st.tuples(GAPS, st.sampled_from("aabbcd"), st.sampled_from(("login", "beat"))), min_size=3, max_size=40
)


class Cluster:
    """Three partitions; what one tells is read by the others at once."""

    def __init__(self, rules: RuleSet) -> None:
        self.fired: set[tuple[str, str, int]] = set()
        self.engines = [self._engine(number, rules) for number in range(3)]
        self.offsets = [0, 0, 0]

    @staticmethod
    def _engine(number: int, rules: RuleSet) -> PartitionEngine:
        return PartitionEngine(
            number, clock_mode="log", clock=0, revision=rules, accounts=InMemoryAccounts(),
            rulesets=lambda _: rules, fetch=lambda _: Event(type=""), history=lambda _: (),
        )  # fmt: skip

    def put(self, number: int, event: Event) -> None:
        engine = self.engines[number]
        engine.apply([(self.offsets[number], 0, event)])
        self.offsets[number] += 1
        for trigger in engine.drain():
            self.fired.add((trigger.rule, trigger.account, parse_time(trigger.at)))
        for clause, runs in engine.take_told():
            for told in records_of(clause, runs, name=f"{number} {self.offsets[number]}", at=engine.clock):
                for other in {0, 1, 2} - {number}:
                    self.put(other, told)


def told(events: list[tuple[int, str, str]]) -> list[JSON]:
    """The events as on the wire."""
    at = BASE
    found: list[JSON] = []
    for gap, account, type_ in events:
        at += gap * 20 * MINUTE
        found.append({"id": f"e{len(found)}", "type": type_, "account": account, "time": format_time(at)})
    return found


@settings(
    max_examples=150, database=None, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(events=EVENTS)
def test_partitions_know_of_one_another(events: list[tuple[int, str, str]]) -> None:
    rules = tuple({**rule, "status": "active", "alive": ALIVE} for rule in RULES)
    book = Book()
    book.add(1, Revision(rules))
    cluster, body, end = Cluster(book(1)), told(events), 0
    for number, event in enumerate(body):
        end = parse_time(event["time"])
        cluster.put(PARTITION[event["account"]], _event(event))
        _all_know([parse_time(one["time"]) for one in body[: number + 1]], cluster)
    final = end + 3 * DAY
    for number in range(3):
        cluster.put(number, Event(type=CLOCK, id="end", time=from_microseconds(final)))
    history = History(tuple((n, 0, one) for n, one in enumerate(body)), ((0, Revision(rules)),), "log", final)
    exact = {(one["rule"], one["account"], one["at"]) for one in run(history)}
    assert cluster.fired <= exact
    times = sorted({parse_time(one["time"]) for one in body})
    for rule, _, at in exact - cluster.fired:
        near = [b for a, b in pairwise(times) if a <= at <= b and b - a > WITHIN - TENTH]
        assert at > end - TENTH or (near and rule != "gone"), (rule, format_time(at))


@settings(
    max_examples=150, database=None, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(events=EVENTS, ahead=st.permutations((0, 100, 400)))
def test_partitions_that_read_further_than_others(
    events: list[tuple[int, str, str]], ahead: list[int]
) -> None:
    book = Book()
    book.add(1, Revision(({**RULES[0], "status": "active", "alive": ALIVE},)))
    cluster, times = Cluster(book(1)), []
    for event in told(events):
        number = PARTITION[event["account"]]
        times.append(parse_time(event["time"]) + ahead[number] * 20 * MINUTE)
        cluster.put(number, _event({**event, "time": format_time(times[-1])}))
        _all_know(times, cluster)


def _event(body: JSON) -> Event:
    time = from_microseconds(parse_time(body["time"]))
    return Event(type=body["type"], id=body["id"], account=body["account"], time=time)


def _all_know(times: list[int], cluster: Cluster) -> None:
    true = Source(sorted(set(times)), WITHIN)
    for engine in cluster.engines:
        [heart] = engine.heartbeats.values()
        assert list(heart.silences(0, true.last + 1)) == true.silences
        assert heart.last is not None
        assert 0 <= true.last - heart.last < TENTH
