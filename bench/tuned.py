"""What a good engineer would write by hand for this one workload, and what most would: the code inside the peers.

Both take the rules that `gen.py` makes (thresholds on one event type) and nothing else: no explanations, no repeats
recognised by their ids, nothing to save; late events only slide the newest window. Times are seconds.
"""

import bisect
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from bench import gen
from schemas.duration import parse_duration

Series = dict[int, Any]  # one account's, by the rule's number
Judge = Callable[
    [Any, float, Series, int], int
]  # event, its time, series, tier's number -> how many rules fire
TIERS = ("high", "low", "tech")
SIGNS = {"gte": ">=", "eq": "==", "in": "in"}


class Data(msgspec.Struct, gc=False):
    """The fields of `data`."""

    severity: int
    plan: str
    seats: int
    amount: float
    feature: str


class Event(msgspec.Struct, gc=False):
    """What is needed of an event."""

    type: str
    account: str
    time: datetime
    data: Data


decode: Callable[[bytes], Event] = msgspec.json.Decoder(Event).decode


def tier_of(account: str) -> int:
    """The tier's number."""
    return TIERS.index(gen.tier(account))


def tuned(rules: Iterable[dict[str, Any]]) -> dict[str, Judge]:
    """By event type one generated function; each series holds the shortest run that can still fire."""
    bodies: dict[str, list[str]] = {}
    names: dict[str, Any] = {"deque": deque, "late": _late, "late_sum": _late_sum}
    for number, rule in enumerate(rules):
        threshold = rule["when"]["threshold"]
        names[f"least_{number}"] = tuple(threshold["at_least"][tier] for tier in TIERS)
        bodies.setdefault(threshold["event"], []).append(_branch(number, threshold, names))
    for kind, branches in bodies.items():
        source = "def judge(event, at, series, tier):\n data = event.data\n fired = 0\n" + "".join(branches)
        exec(source + " return fired\n", names)  # only our own workload's rules
        bodies[kind] = names.pop("judge")
    return bodies  # type: ignore[return-value]


def _branch(number: int, threshold: dict[str, Any], names: dict[str, Any]) -> str:
    tests = []
    for place, (path, test) in enumerate(threshold["where"].items()):
        ((operator, value),) = test.items()
        names[f"value_{number}_{place}"] = frozenset(value) if operator == "in" else value
        tests.append(f"{path} {SIGNS[operator]} value_{number}_{place}")
    window = parse_duration(threshold["within"]) / 1e6
    template = BRANCHES[threshold.get("aggregate", "count")]
    return template.format(n=number, tests=" and ".join(tests), window=window)


BRANCHES = {
    "count": """
 if {tests}:
  kept = series.get({n})
  if kept is None:
   kept = series[{n}] = deque(maxlen=least_{n}[tier])
  if kept and at < kept[-1]:
   late(kept, at)
  else:
   kept.append(at)
  if len(kept) == kept.maxlen and kept[0] > kept[-1] - {window}:
   fired += 1
""",
    "sum": """
 if {tests}:
  kept = series.get({n})
  if kept is None:
   kept = series[{n}] = [0.0, deque()]
  least, (total, run) = least_{n}[tier], kept
  if run and at < run[-1][0]:
   late_sum(run, at, data.amount)
  else:
   run.append((at, data.amount))
  total += data.amount
  end = run[-1][0] - {window}
  while run[0][0] <= end or total - run[0][1] >= least:
   total -= run.popleft()[1]
  kept[0] = total
  if total >= least:
   fired += 1
""",
    "distinct": """
 if {tests}:
  kept = series.get({n})
  if kept is None:
   kept = series[{n}] = {{}}
  kept[data.feature] = max(at, kept.pop(data.feature, at))
  least, end = least_{n}[tier], at - {window}
  while (oldest := next(iter(kept))) and (kept[oldest] <= end or len(kept) > least):
   del kept[oldest]
  if len(kept) >= least:
   fired += 1
""",
}


def _late(kept: deque[float], at: float) -> None:
    times = list(kept)
    bisect.insort(times, at)
    kept.extend(times if len(times) > len(kept) else ())
    while len(kept) > len(times):
        kept.popleft()


def _late_sum(run: deque[tuple[float, float]], at: float, amount: float) -> None:
    place = bisect.bisect([each[0] for each in run], at)
    run.insert(place, (at, amount))


class Naive:
    """The everyday form: each rule a list of tests and, per account, a list of what lies in its window."""

    def __init__(self, rules: Iterable[dict[str, Any]]) -> None:
        self._rules: dict[str, list[tuple[int, dict[str, Any], float]]] = {}
        for number, rule in enumerate(rules):
            threshold = rule["when"]["threshold"]
            window = parse_duration(threshold["within"]) / 1e6
            self._rules.setdefault(threshold["event"], []).append((number, threshold, window))

    def judge(self, event: dict[str, Any], at: float, series: Series, tier: int) -> int:
        """As `Judge`; the event is a dictionary."""
        fired = 0
        data = event["data"]
        for number, threshold, window in self._rules.get(event["type"], ()):
            if not all(_holds(data[path[5:]], test) for path, test in threshold["where"].items()):
                continue
            field = threshold.get("of", "data.severity")[5:]
            kept = [each for each in series.get(number, ()) if each[0] > at - window]
            kept.append((at, data[field]))
            series[number] = kept
            fired += _aggregate(threshold, kept) >= threshold["at_least"][TIERS[tier]]
        return fired


def _holds(value: Any, test: dict[str, Any]) -> bool:
    for operator, wanted in test.items():
        if operator == "gte":
            return bool(value >= wanted)
        if operator == "in":
            return value in wanted
    return bool(value == wanted)


def _aggregate(threshold: dict[str, Any], kept: list[tuple[float, Any]]) -> float:
    match threshold.get("aggregate", "count"):
        case "sum":
            return float(sum(value for _, value in kept))
        case "distinct":
            return len({value for _, value in kept})
    return len(kept)
