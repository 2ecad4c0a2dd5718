"""How the cost of an event grows with accounts, rules that match, rules that do not, events, and partitions."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench import durable, engine, gen, workload
from bench.measure import SCALE, Result
from bench.workload import rule_documents, rule_set

ACCOUNTS = (200, 2_000, 20_000, 200_000)
RULES = (10, 100, 1_000, 10_000)
EVENTS, PARTS = int(400_000 * SCALE), 4
PARTITIONS = (1, 8, 64)
COUNT = int(60_000 * SCALE)
REPEATS = 2
STEPS = len(ACCOUNTS) + 2 * len(RULES) + 1 + len(PARTITIONS)


def growth(tick: Callable[[], None]) -> list[Result]:
    """Microseconds an event: of CPU time in memory, of the clock with everything durable."""
    results = []
    for accounts in ACCOUNTS:
        with _population(accounts):
            results.append(_in_memory(f"accounts {accounts:,}", 100, COUNT))
        tick()
    for number in RULES:
        results.append(_in_memory(f"rules that do not match {number:,}", number, COUNT, idle=True))
        tick()
    for number in RULES:
        events = COUNT if number < 10_000 else COUNT // 6
        results.append(_in_memory(f"rules of which a fortieth match {number:,}", number, events))
        tick()
    results += _over_time()
    tick()
    for partitions in PARTITIONS:
        raw = [1e6 / durable.rate(100, [], count=COUNT, partitions=partitions) for _ in range(REPEATS)]
        results.append(_row(f"partitions {partitions}", raw, "durable, 100 rules, one worker"))
        tick()
    return results


def _over_time() -> list[Result]:
    """One engine over a long log: what an event costs after so many."""
    raw = [engine.pace(rule_set(rule_documents(100)), EVENTS, PARTS) for _ in range(REPEATS)]
    part = EVENTS // PARTS
    return [
        _row(
            f"events {(number + 1) * part:,}",
            [costs[number] for costs in raw],
            "in memory, 100 rules",
        )
        for number in range(PARTS)
    ]


def _in_memory(at: str, rules: int, events: int, *, idle: bool = False) -> Result:
    compiled = rule_set(rule_documents(rules, idle=idle))
    raw = [1e6 / engine.rate(compiled, events) for _ in range(REPEATS)]
    return _row(at, raw, "in memory" + ("" if "rules" in at else ", 100 rules"))


def _row(at: str, raw: list[float], note: str) -> Result:
    rounded = [round(each, 3) for each in raw]
    return Result("growth", statistics.median(raw), "µs an event", None, None, {"ours": rounded}, note, at=at)


@contextmanager
def _population(accounts: int) -> Iterator[None]:
    """The workload with so many accounts."""
    before = gen.ACCOUNTS
    workload.forget()
    gen.ACCOUNTS = accounts
    try:
        yield
    finally:
        gen.ACCOUNTS = before
        workload.forget()
