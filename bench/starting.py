"""How long `touchline serve` takes from its start until it says that it is ready, set up already."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import REPEATS, Result
from bench.served import Served, served
from bench.workload import TIERS, rule_documents

RULES = 100


def start_to_ready(tick: Callable[[], None]) -> list[Result]:
    """Seconds, with a hundred rules in force; the tables are there before."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder) as ours:
            _save(ours)
        raw = [_once(folder) for _ in range(REPEATS)]
    tick()
    value = statistics.median(raw)
    return [Result("start_to_ready", value, "s", None, None, {"ours": raw}, f"all services, {RULES} rules")]


def _save(ours: Served) -> None:
    ours.call("PUT", "/v1/tiers", TIERS)
    for document in rule_documents(RULES):
        ours.call("POST", "/v1/rules", document)


def _once(folder: Path) -> float:
    started = time.perf_counter()
    with served(folder):
        return round(time.perf_counter() - started, 3)
