"""Measures two sides in turn (A B A B …), so that a noisy machine is noisy for both; medians count."""

import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

REPEATS = 3
RULES = tuple(int(number) for number in os.environ.get("RULES", "10,100,1000").split(","))
SCALE = float(os.environ.get("SCALE", "1"))  # of the number of events; less than 1 for a quick look

# What we aim for, by path and number of rules or unit. It is held against `share` where there is one, else `value`.
GOALS: dict[tuple[str, int | str | None], float] = {
    ("memory", 10): 0.40, ("memory", 100): 0.25, ("memory", 1000): 0.10,
    ("durable", 10): 0.10, ("durable", 100): 0.10, ("durable", 1000): 0.05,
    ("kafka", 10): 0.60, ("kafka", 100): 0.50, ("kafka", 1000): 0.25,
    ("ingest_batch", None): 0.50, ("ingest_single", None): 0.60, ("hooks", None): 1 / 3,
    ("webhooks", None): 0.50, ("webhooks_slow", None): 0.90, ("mails", None): 0.50,
    ("policy", None): 0.80, ("backtest", None): 0.50,
    ("backtest_beside", None): 2.0, ("rehearsal", None): 2_000,
    ("idle_rules", 10_000): 1.2, ("bytes_per_state", 1_000): 1.0,
    ("latency_embedded", "ms p50"): 50, ("latency_embedded", "ms p99"): 250,
    ("latency_kafka", "ms p50"): 100, ("latency_kafka", "ms p99"): 500,
    ("kafka_two_workers", None): 1.7, ("start_to_ready", None): 3.0, ("console", None): 3.0, ("soak", None): 1.05,
}  # fmt: skip
LATENCIES = ("latency_embedded", "latency_kafka")
LESS_IS_BETTER = frozenset(
    {"idle_rules", "backtest_beside", "bytes_per_state", "start_to_ready", "soak", "console", *LATENCIES}
)


@dataclass
class Result:
    """One figure; `share` is value / of, `raw` every repeat of both sides."""

    path: str
    value: float
    unit: str
    rules: int | None = None
    of: float | None = None
    raw: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""
    scale: float = SCALE
    peer: str = ""  # whose figure it is; "" for ours
    at: str = ""  # what else was varied: "accounts 200"

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> "Result":
        """One that an earlier run wrote."""
        return cls(**{each.name: document[each.name] for each in fields(cls) if each.name in document})

    @property
    def key(self) -> tuple[str, int | None, str, str, str]:
        """What makes it the same figure in another run."""
        return self.path, self.rules, self.unit, self.peer, self.at

    @property
    def share(self) -> float | None:
        """The value as a share of what it is held against; a latency is what is above that, and has none."""
        return self.value / self.of if self.of and self.path not in LATENCIES else None

    @property
    def goal(self) -> float | None:
        """What we aim for."""
        if self.peer or self.at:
            return None
        return GOALS.get(
            (self.path, self.rules), GOALS.get((self.path, self.unit), GOALS.get((self.path, None)))
        )

    @property
    def figure(self) -> float:
        """What the goal is held against."""
        return self.value if self.share is None else self.share

    @property
    def met(self) -> bool | None:
        """Whether it is as we aim for; None without an aim."""
        if self.goal is None:
            return None
        return self.figure <= self.goal if self.path in LESS_IS_BETTER else self.figure >= self.goal

    def document(self) -> dict[str, Any]:
        """As it is written to the JSON file: the issue's columns first."""
        of = None if self.of is None else round(self.of, 3)
        share = None if self.share is None else round(self.share, 4)
        columns = {
            "path": self.path, "rules": self.rules, "value": round(self.value, 3), "unit": self.unit,
            "of": of, "share": share, "goal": self.goal, "met": self.met,
        }  # fmt: skip
        return columns | {
            name: value for name, value in asdict(self).items() if name not in columns and value
        }


def seconds(work: Callable[[], Any], *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call, after a garbage collection."""
    gc.collect()
    started = clock()
    work()
    return clock() - started


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU time of one call, for work that waits for nothing: other load on the machine counts less."""
    return seconds(work, clock=time.process_time)


def paired(
    ours: Callable[[], float], floor: Callable[[], float], repeats: int = REPEATS, *, ours_first: bool = False
) -> tuple[float, float, dict[str, list[float]]]:
    """Figures (a rate, a time) of both sides, in turn: (median ours, median floor, every repeat)."""
    raw: dict[str, list[float]] = {"ours": [], "floor": []}
    for _ in range(repeats):
        for name in ("ours", "floor") if ours_first else ("floor", "ours"):
            raw[name].append(round((ours if name == "ours" else floor)(), 3))
    return statistics.median(raw["ours"]), statistics.median(raw["floor"]), raw


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
