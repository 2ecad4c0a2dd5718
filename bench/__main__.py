"""`make bench`: one table, `bench/results/latest.json` and a picture. `make bench ONLY=memory` runs one path.

`ONLY=memory,kafka` runs these. `RULES=10` takes one number of rules only, `SCALE=0.25` a quarter of the events: both
are for a quick look, and are written to `bench/results/quick.json` instead.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from backbone.gc_tuning import collect_less
from bench import (
    actions,
    backtests,
    durable,
    engine,
    growth,
    hooks,
    http,
    kafka,
    matches,
    pages,
    peers,
    playing,
    rehearsing,
    report,
    soak,
    starting,
)
from bench.measure import RULES, SCALE, Result
from deploy.local.need import ensure
from deploy.local.process import LocalError

Measure = Callable[[Callable[[], None]], list[Result]]

# Path: what measures it, how many steps it has, and seconds that a step takes on two cores, for the bar.
PATHS: dict[str, tuple[Measure, int, float]] = {
    "memory": (engine.memory, len(RULES), 12),
    "idle_rules": (engine.idle_rules, 1, 12),
    "bytes_per_state": (engine.bytes_per_state, 1, 10),
    "backtest": (backtests.backtest, 1, 80),
    "backtest_beside": (backtests.backtest_beside, 1, 75),
    "rehearsal": (rehearsing.rehearsal, 1, 30),
    "durable": (durable.durable, len(RULES), 40),
    "ingest_batch": (http.ingest_batch, 1, 16),
    "ingest_single": (http.ingest_single, 1, 16),
    "hooks": (hooks.hooks, 1, 16),
    "latency_embedded": (http.latency_embedded, 1, 32),
    "kafka": (kafka.kafka, len(RULES), 35),
    "kafka_two_workers": (kafka.two_workers, 1, 60),
    "latency_kafka": (kafka.latency_kafka, 1, 45),
    "webhooks": (actions.webhooks, 1, 12),
    "webhooks_slow": (actions.webhooks_slow, len(actions.TAKES), 32),
    "mails": (actions.mails, 1, 15),
    "policy": (actions.policy, 1, 20),
    "actions_worker": (playing.actions_worker, 1, 12),
    "start_to_ready": (starting.start_to_ready, 1, 8),
    "matches": (matches.matches, 1, 25),
    "console": (pages.console, 1, 120),
    "soak": (soak.soak, 1, soak.SECONDS + 5),
    "peers": (peers.peers, len(RULES), 25),
    "growth": (growth.growth, growth.STEPS, 8),
}
ON_SERVERS = frozenset({"kafka", "kafka_two_workers", "latency_kafka"})
console = Console()
if not console.is_terminal:
    console = Console(width=140)


def main() -> int:
    """Run what is asked for; the exit status."""
    only = [name for name in os.environ.get("ONLY", "").split(",") if name] or list(PATHS)
    unknown = [name for name in only if name not in PATHS]
    if unknown:
        console.print(f"no such path: {', '.join(unknown)}; there are: {', '.join(PATHS)}", style="red")
        return 2
    try:
        if ON_SERVERS & set(only):
            ensure(kafka=True, postgres=True)
    except LocalError as error:
        console.print(f"without {', '.join(sorted(ON_SERVERS & set(only)))}: {error}", style="red")
        only = [name for name in only if name not in ON_SERVERS]
    if "peers" in only and peers.missing():
        console.print(peers.missing(), style="yellow")
    collect_less()  # as in every process of ours
    started = time.monotonic()
    results, failed = _run(only)
    console.print(report.table(results))
    console.print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    quick = SCALE != 1 or "RULES" in os.environ
    for path in report.write(results, engine.floor(), list(PATHS), quick=quick):
        console.print(f"written to {path}", highlight=False)
    return 1 if failed else 0


def _run(only: list[str]) -> tuple[list[Result], list[str]]:
    """Run one path; a failure is reported, and the other paths still run."""
    results: list[Result] = []
    failed: list[str] = []
    with _bar(sum(PATHS[name][1] * PATHS[name][2] for name in only)) as advance:
        for name in only:
            measure, steps, weight = PATHS[name]
            left = [steps]

            def tick(name: str = name, weight: float = weight, left: list[int] = left) -> None:
                left[0] -= 1
                advance(name, weight)

            advance(name, 0)
            gc.collect()  # what earlier paths left behind is not for this one to walk through
            try:
                results += measure(tick)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this path's
                failed.append(name)
                console.print(f"{name} failed: {error!r}", style="red")
            advance(name, weight * max(0, left[0]))
    return results, failed


class _Left(ProgressColumn):
    """The time left at the pace so far; a step counts as many seconds as it should take."""

    def render(self, task: Task) -> Text:
        """As minutes and seconds."""
        total, pace = task.total or 0.0, 1.0
        if task.completed > 10 and task.elapsed:
            pace = task.elapsed / task.completed
        left = round((total - task.completed) * pace)
        return Text(f"{left // 60}:{left % 60:02} left")


@contextmanager
def _bar(total: float) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on a terminal; elsewhere a line for each path."""
    columns = (TextColumn("{task.description:18}"), BarColumn(40), TimeElapsedColumn(), _Left())
    seen: set[str] = set()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def advance(name: str, weight: float) -> None:
            bar.update(task, description=name, advance=weight)
            if not console.is_terminal and name not in seen:
                seen.add(name)
                console.print(f"{name} …", highlight=False)

        yield advance


if __name__ == "__main__":
    sys.exit(main())
