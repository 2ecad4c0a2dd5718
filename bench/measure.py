"""How a figure is taken: two sides in turn (A B A B …), so that a noisy machine is noisy for both; medians count."""

import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

REPEATS = 3
RULES = tuple(int(number) for number in os.environ.get("RULES", "10,100,1000").split(","))
SCALE = float(os.environ.get("SCALE", "1"))  # of the number of events; less than 1 for a quick look

# Shares of the floor, by path and number of rules (../docs/performance.md says what each means).
GOALS: dict[tuple[str, int | str | None], float] = {
    ("memory", 10): 0.40, ("memory", 100): 0.25, ("memory", 1000): 0.10,
    ("durable", 10): 0.10, ("durable", 100): 0.10, ("durable", 1000): 0.05,
    ("kafka", 10): 0.60, ("kafka", 100): 0.50, ("kafka", 1000): 0.25,
    ("ingest_batch", None): 0.50, ("ingest_single", None): 0.60,
    ("webhooks", None): 0.50, ("mails", None): 0.50, ("backtest", None): 0.50,
    ("idle_rules", 10_000): 1.2, ("bytes_per_state", 1_000): 1.0,
    ("latency_embedded", "ms p50"): 50, ("latency_embedded", "ms p99"): 250,
    ("latency_kafka", "ms p50"): 100, ("latency_kafka", "ms p99"): 500,
}  # fmt: skip
LESS_IS_BETTER = frozenset({"idle_rules", "bytes_per_state", "latency_embedded", "latency_kafka"})


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
    scale: float | None = None  # that of this run where None

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> "Result":
        """One that an earlier run wrote."""
        return cls(**{each.name: document[each.name] for each in fields(cls)})

    @property
    def share(self) -> float | None:
        """The value as a share of what it is held against."""
        return self.value / self.of if self.of else None

    @property
    def goal(self) -> float | None:
        """What we aim for."""
        return GOALS.get((self.path, self.rules), GOALS.get((self.path, self.unit)))

    @property
    def met(self) -> bool | None:
        """Whether it is as we aim for; None without an aim."""
        if self.goal is None:
            return None
        figure = self.value if self.share is None else self.share
        return figure <= self.goal if self.path in LESS_IS_BETTER else figure >= self.goal

    def document(self) -> dict[str, Any]:
        """As it is written to the JSON file."""
        return {
            "path": self.path,
            "rules": self.rules,
            "value": round(self.value, 3),
            "unit": self.unit,
            "of": None if self.of is None else round(self.of, 3),
            "share": None if self.share is None else round(self.share, 4),
            "goal": self.goal,
            "met": self.met,
            "scale": SCALE if self.scale is None else self.scale,
            "raw": self.raw,
            "note": self.note,
        }


def seconds(work: Callable[[], Any], *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call, after a collection."""
    gc.collect()
    started = clock()
    work()
    return clock() - started


def cpu_seconds(work: Callable[[], Any]) -> float:
    """For work that waits for nothing: what else the machine does counts less."""
    return seconds(work, clock=time.process_time)


def paired(
    ours: Callable[[], float], floor: Callable[[], float], repeats: int = REPEATS, *, ours_first: bool = False
) -> tuple[float, float, dict[str, list[float]]]:
    """Rates (something per second) of both sides, in turn: (median ours, median floor, every repeat)."""
    raw: dict[str, list[float]] = {"ours": [], "floor": []}
    for _ in range(repeats):
        for name in ("ours", "floor") if ours_first else ("floor", "ours"):
            raw[name].append(round((ours if name == "ours" else floor)(), 1))
    return statistics.median(raw["ours"]), statistics.median(raw["floor"]), raw


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
