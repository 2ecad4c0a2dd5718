"""`make bench`: one table, `bench/results/latest.json` and a picture. `make bench ONLY=memory` runs one path.

`RULES=10` takes one number of rules only, `SCALE=0.25` a quarter of the events: for a quick look, and noted beside.
"""

import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from backbone.collector import collect_less
from bench import actions, durable, engine, http, kafka
from bench.chart import draw
from bench.measure import RULES, Result

RESULTS = Path(__file__).parent / "results"
# Path to what measures it and how many steps it has.
PATHS: dict[str, tuple[Callable[[Callable[[], None]], list[Result]], int]] = {
    "memory": (engine.memory, len(RULES)),
    "idle_rules": (engine.idle_rules, 1),
    "bytes_per_state": (engine.bytes_per_state, 1),
    "backtest": (engine.backtest, 1),
    "durable": (durable.durable, len(RULES)),
    "ingest_batch": (http.ingest_batch, 1),
    "ingest_single": (http.ingest_single, 1),
    "latency_embedded": (http.latency_embedded, 1),
    "kafka": (kafka.kafka, len(RULES)),
    "latency_kafka": (kafka.latency_kafka, 1),
    "webhooks": (actions.webhooks, 1),
    "mails": (actions.mails, 1),
}
console = Console()


def main() -> int:
    """Run what is asked for; the exit status."""
    only = [name for name in os.environ.get("ONLY", "").split(",") if name] or list(PATHS)
    unknown = [name for name in only if name not in PATHS]
    if unknown:
        console.print(f"no such path: {', '.join(unknown)}; there are: {', '.join(PATHS)}", style="red")
        return 2
    collect_less()  # as in every process of ours
    results: list[Result] = []
    columns = (TextColumn("{task.description:24}"), BarColumn(40), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=sum(PATHS[name][1] for name in only))
        for name in only:
            bar.update(task, description=name)
            results += PATHS[name][0](lambda: bar.advance(task))
    floor = engine.floor()
    console.print(_table(results))
    _write(results, floor)
    return 0


def _table(results: list[Result]) -> Table:
    table = Table("path", "rules", "value", "of", "share", "goal")
    for one in results:
        table.add_row(
            one.path,
            "" if one.rules is None else f"{one.rules:,}",
            f"{one.value:,.1f} {one.unit}",
            "" if one.of is None else f"{one.of:,.0f}",
            "" if one.share is None else f"{one.share:.1%}",
            "" if one.goal is None else f"[{'green' if one.met else 'red'}]{one.goal:g}[/]",
        )
    return table


def _write(fresh: list[Result], floor: float) -> None:
    """With ONLY, the other paths' figures stay as they were measured last on a machine like this."""
    RESULTS.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
    ran = {(one.path, one.rules, one.unit) for one in fresh}
    kept = [
        one for one in _earlier(machine) if one.path in PATHS and (one.path, one.rules, one.unit) not in ran
    ]
    results = sorted([*fresh, *kept], key=lambda one: (list(PATHS).index(one.path), one.rules or 0))
    document = {
        "machine": machine,
        "floor_events_per_s": round(floor),
        "results": [one.document() for one in results],
    }
    (RESULTS / "latest.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    draw(results, RESULTS / "latest.svg")
    console.print(f"written to {RESULTS / 'latest.json'} and latest.svg")


def _earlier(machine: dict[str, Any]) -> list[Result]:
    try:
        document = json.loads((RESULTS / "latest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    same = document["machine"] == machine
    return [Result.of_document(one) for one in document["results"]] if same else []


if __name__ == "__main__":
    sys.exit(main())
