"""The engine in memory: against the floor, with idle rules, and the size of its state.

What runs here is `PartitionEngine`, the driver that the worker runs, on records as the worker hands them over.
`python -m bench.engine 10 100` shows what the fast path makes of it, with so many rules: see docs/fast-path.md.
"""

import sys
from collections import Counter
from collections.abc import Callable

import msgspec

from bench.measure import RULES, SCALE, Result, cpu_seconds, paired
from bench.workload import accounts, lines, rule_documents, rule_set
from schemas.event import Event, decode
from services.rules import worker
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.state_codec import encode

EVENTS = int(200_000 * SCALE)
# as the worker hands them over: it polls so many, and decodes and judges by partition, of which there are 8
BATCH = worker.BATCH // 8
DAY_US = 86_400_000_000


def floor(count: int = EVENTS, *, timed: Callable[[Callable[[], None]], float] = cpu_seconds) -> float:
    """Events a second (of CPU time): msgspec decodes each, and one dictionary is incremented."""
    events = lines(count)
    untyped = msgspec.json.Decoder().decode

    def work() -> None:
        counts: Counter[str] = Counter()
        for line in events:
            counts[untyped(line)["type"]] += 1

    return count / timed(work)


def engine(rules: RuleSet, count: int = EVENTS) -> tuple[PartitionEngine, InMemoryAccounts]:
    """An engine on memory that knows every account's tier."""
    states = InMemoryAccounts()
    made = PartitionEngine(
        0, clock_mode="log", clock=0, revision=rules, accounts=states, rulesets=lambda _: rules,
        fetch=lambda offset: _fetch(offset, count), history=lambda _: (),
    )  # fmt: skip
    made.apply([(n, 0, decode(line, place="", timestamp=0)) for n, line in enumerate(accounts())])
    made.forget_changes()
    return made, states


def _fetch(offset: int, count: int) -> Event:
    return decode(lines(count)[offset - len(accounts())], place="", timestamp=0)


def run(made: PartitionEngine, count: int = EVENTS, start: int = 0, end: int | None = None) -> int:
    """Decode and judge the workload, or a stretch of it, in the worker's batches; how many triggers."""
    events, first, fired = lines(count), len(accounts()), 0
    for at in range(start, count if end is None else end, BATCH):
        part = events[at : at + BATCH]
        made.apply([
            (first + at + n, 0, decode(line, place="", timestamp=0)) for n, line in enumerate(part)
        ])  # fmt: skip
        fired += len(made.drain())
        made.forget_changes()
    return fired


def rate(rules: RuleSet, count: int = EVENTS) -> float:
    """Events a second of CPU time."""
    lines(count)  # made before the clock runs
    made, _ = engine(rules, count)
    return count / cpu_seconds(lambda: run(made, count))


def pace(rules: RuleSet, count: int, parts: int) -> list[float]:
    """Microseconds an event in each part of a log of so many events, worked off by one engine."""
    lines(count)
    made, _ = engine(rules, count)
    size = count // parts
    stretches = [(number * size, (number + 1) * size) for number in range(parts)]
    return [1e6 * cpu_seconds(lambda s=s, e=e: run(made, count, s, e)) / size for s, e in stretches]  # type: ignore[misc]


def against_plain(rules: int, count: int) -> str:
    """The engine with its fast path against the engine without."""
    documents = rule_documents(rules)
    fast, plain = rule_set(documents), rule_set(documents, fastpath=False)
    ours, base, _ = paired(lambda: rate(fast, count), lambda: rate(plain, count))
    return f"{rules} rules: {ours:,.0f} events/s, without the fast path {base:,.0f}: {ours / base:.1f} times"


def memory(tick: Callable[[], None]) -> list[Result]:
    """The engine against the floor, by number of rules."""
    results = []
    for count in RULES:
        rules = rule_set(rule_documents(count))
        ours, base, raw = paired(lambda rules=rules: rate(rules), floor)  # type: ignore[misc]
        results.append(Result("memory", ours, "events/s", count, base, raw))
        tick()
    return results


def idle_rules(tick: Callable[[], None]) -> list[Result]:
    """Microseconds an event with 10,000 rules that do not match, as a multiple of those with 10."""
    few, many = rule_set(rule_documents(10, idle=True)), rule_set(rule_documents(10_000, idle=True))
    ours, base, raw = paired(lambda: 1e6 / rate(many), lambda: 1e6 / rate(few))
    tick()
    note = "cost per event with 10,000 idle rules, and with 10"
    return [Result("idle_rules", ours, "µs/event", 10_000, base, raw, note)]


def bytes_per_state(tick: Callable[[], None]) -> list[Result]:
    """Stored bytes per (rule, account) that has state, as a share of what we allow: 200 and 24 an event kept."""
    rules = rule_set(rule_documents(1_000))
    made, states = engine(rules)
    bare = sum(len(encode(state)) for state in states.all())
    run(made)
    total = pairs = kept = 0
    for state in states.all():
        total += len(encode(state))
        pairs += len(state.stores)
        kept += sum(len(store) // 2 for store in state.stores.values())
        for key, rows in state.shared.items():  # shared: an event counts once for all its rules
            group = state.layout.groups[key]
            pairs += len(group.names(rows))
            kept += len(rows) // group.width
    tick()
    value = (total - bare) / pairs
    note = f"{pairs} pairs, {kept} events kept, {total} bytes in all, ids of seven days included"
    return [Result("bytes_per_state", value, "bytes", 1_000, 200 + 24 * kept / pairs, {}, note)]


if __name__ == "__main__":
    for number in sys.argv[1:] or RULES:
        print(against_plain(int(number), EVENTS // 4))
