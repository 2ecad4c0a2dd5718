"""Bytewax, the strongest peer that runs inside a Python process, on our workload: for comparison, not a goal.

It runs the everyday code and the hand-tuned code of `tuned.py` as one stateful step keyed by account; the
tuned code also runs once without it. Without the package (see requirements-bench.lock) these rows are left
out, and the report says so.
"""

import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from bench.engine import floor
from bench.measure import RULES, SCALE, Result, cpu_seconds, paired, seconds
from bench.tuned import Judge, Naive, Series, decode, tier_of, tuned
from bench.workload import lines, rule_documents

EVENTS = int(60_000 * SCALE)
DURABLE_EVENTS = int(20_000 * SCALE)
TOGETHER = 1_000  # events that the source hands over at once
EPOCH = timedelta(seconds=1)  # between its checkpoints

State = tuple[int, Series]  # the tier's number, and the series by the rule's number
Step = tuple[Callable[[bytes], tuple[str, Any]], Callable[[State | None, Any], tuple[State, Iterable[int]]]]


def peers(tick: Callable[[], None]) -> list[Result]:
    """In memory and with durable state, by number of rules."""
    results: list[Result] = []
    for count in RULES:
        rules = rule_documents(count)
        results.append(_row("memory", count, "plain Python, tuned by hand", partial(_by_hand, rules)))
        if find_spec("bytewax") is not None:
            inside = {"naive state": _naive(rules), "the tuned code inside": _tuned(rules)}
            results += [
                _row("memory", count, f"Bytewax, {name}", partial(_rate, step))
                for name, step in inside.items()
            ]
            saved = partial(_durable, inside["naive state"])
            results.append(
                _row("durable", count, "Bytewax, naive state, checkpoint a second", saved, wall=True)
            )
        tick()
    return results


def missing() -> str:
    """The note about rows that cannot be measured; empty if all can."""
    found = find_spec("bytewax") is not None
    return "" if found else "Bytewax is not installed: no rows of it (requirements-bench.lock; Python < 3.13)"


def _row(path: str, rules: int, peer: str, rate: Callable[[], float], *, wall: bool = False) -> Result:
    ours, base, raw = paired(rate, partial(floor, timed=seconds if wall else cpu_seconds), repeats=2)
    return Result(path, ours, "events/s", rules, base, raw, peer=peer)


def _by_hand(rules: list[dict[str, Any]]) -> float:
    judges, events = tuned(rules), lines(EVENTS)

    def work() -> None:
        states: dict[str, State] = {}
        for line in events:
            event = decode(line)
            judge = judges.get(event.type)
            if judge is not None:
                state = states.get(event.account)
                if state is None:
                    state = states[event.account] = (tier_of(event.account), {})
                judge(event, event.time.timestamp(), state[1], state[0])

    return EVENTS / cpu_seconds(work)


def _tuned(rules: list[dict[str, Any]]) -> Step:
    judges = tuned(rules)

    def keyed(line: bytes) -> tuple[str, Any]:
        event = decode(line)
        return event.account, event

    def judge(state: State | None, event: Any) -> tuple[State, Iterable[int]]:
        if state is None:
            state = (tier_of(event.account), {})
        found: Judge | None = judges.get(event.type)
        fired = found(event, event.time.timestamp(), state[1], state[0]) if found else 0
        return state, (fired,) if fired else ()

    return keyed, judge


def _naive(rules: list[dict[str, Any]]) -> Step:
    naive = Naive(rules)

    def keyed(line: bytes) -> tuple[str, Any]:
        event = msgspec.json.decode(line)
        return event["account"], event

    def judge(state: State | None, event: Any) -> tuple[State, Iterable[int]]:
        if state is None:
            state = (tier_of(event["account"]), {})
        at = datetime.fromisoformat(event["time"]).timestamp()
        fired = naive.judge(event, at, state[1], state[0])
        return state, (fired,) if fired else ()

    return keyed, judge


def _rate(step: Step) -> float:
    from bytewax.testing import run_main

    return EVENTS / cpu_seconds(partial(run_main, _flow(step, EVENTS)))


def _durable(step: Step) -> float:
    from bytewax.recovery import RecoveryConfig, init_db_dir
    from bytewax.testing import run_main

    flow = _flow(step, DURABLE_EVENTS)
    with tempfile.TemporaryDirectory() as folder:
        init_db_dir(Path(folder), 1)  # type: ignore[no-untyped-call]
        kept = RecoveryConfig(folder)  # type: ignore[no-untyped-call]
        work = partial(run_main, flow, epoch_interval=EPOCH, recovery_config=kept)
        return DURABLE_EVENTS / seconds(work)


def _flow(step: Step, count: int) -> Any:
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource

    keyed, judge = step
    flow = Dataflow("peer")
    source = op.input("in", flow, TestingSource(lines(count), TOGETHER))
    fired = op.stateful_flat_map("judge", op.map("keyed", source, keyed), judge)
    op.output("out", fired, TestingSink([]))
    return flow
