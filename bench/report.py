"""Writes the results of a run: the table, `latest.json`, the picture, and the tables of docs/performance.md."""

import json
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.chart import draw
from bench.measure import LATENCIES, LESS_IS_BETTER, Result

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
# The paths of `results`; what else is measured stands under `more`.
PATHS = (
    "memory", "durable", "ingest_batch", "ingest_single", "kafka", "latency_embedded", "latency_kafka",
    "webhooks", "webhooks_slow", "mails", "backtest", "idle_rules", "bytes_per_state",
)  # fmt: skip
NAMES = {
    "memory": "engine in memory",
    "durable": "states, offsets and triggers durable, embedded",
    "ingest_batch": "events over HTTP in batches of 100",
    "ingest_single": "events over HTTP one by one",
    "hooks": "hooks with one event each, to events over HTTP one by one",
    "kafka": "rules on Kafka and PostgreSQL, one worker",
    "latency_embedded": "from POST to webhook, embedded, above append-and-poll",
    "latency_kafka": "from POST to webhook, Kafka, above append-and-poll",
    "webhooks": "webhooks",
    "webhooks_slow": "webhooks to a receiver that takes its time, to `concurrency` / time",
    "mails": "mails",
    "policy": "mails under a sending policy, to those without one",
    "backtest": "backtest of one rule over HTTP, to the engine in memory",
    "backtest_beside": "from POST to webhook beside a backtest, to without one",
    "rehearsal": "plays a second of a rehearsal",
    "console": "the slowest list of the console, to the call of the API behind it",
    "idle_rules": "cost per event with 10,000 idle rules, to ten",
    "bytes_per_state": "stored bytes per (rule, account), to 200 and 24 an event kept",
    "kafka_two_workers": "two workers on Kafka, to one",
    "start_to_ready": "start to ready",
    "soak": "memory at the end of the soak, to that after warm-up",
    "actions_worker": "actions worker, events that concern no play, to the floor",
}


def table(results: Iterable[Result]) -> Table:
    """For the terminal."""
    shown = Table("path", "rules", "value", "of", "share", "goal", "note")
    for one in results:
        verdict = {True: "green", False: "red", None: "default"}[one.met]
        shown.add_row(
            one.path, _number(one.rules), f"{one.value:,.1f} {one.unit}", "" if one.of is None else f"{one.of:,.1f}",
            "" if one.share is None else _share(one), f"[{verdict}]{_goal(one)}[/]", one.peer or one.at or one.note,
        )  # fmt: skip
    return shown


def write(fresh: list[Result], floor: float, order: list[str], *, quick: bool) -> list[Path]:
    """Write the files, and return their names. Paths that did not run keep the figures of their last run on
    such a machine."""
    RESULTS.mkdir(exist_ok=True)
    machine = _machine()
    ran, again = {one.key for one in fresh}, {one.path for one in fresh if not one.peer and not one.at}
    earlier = [] if quick else _earlier(machine)
    kept = [one for one in earlier if one.key not in ran and (one.peer or one.at or one.path not in again)]
    places = {name: number for number, name in enumerate(order)}
    # Within a path they stay in their order.
    results = sorted([*fresh, *kept], key=lambda one: places.get(one.path, len(places)))
    place = RESULTS / ("quick.json" if quick else "latest.json")
    place.write_text(json.dumps(_document(results, machine, floor), indent=1) + "\n", encoding="utf-8")
    if quick:
        return [place]
    results = load(place)  # rounded, and in the file's order: the page is what the file says
    draw(results, place.with_suffix(".svg"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    return [place, place.with_suffix(".svg"), PAGE]


def _document(results: list[Result], machine: dict[str, Any], floor: float) -> dict[str, Any]:
    ours = [one for one in results if one.path in PATHS and not one.peer]
    return {
        "machine": machine,
        "floor_events_per_s": round(floor),
        "results": [one.document() for one in ours],
        "more": [one.document() for one in results if one not in ours],
    }


def load(path: Path) -> list[Result]:
    """The figures of a file that `write` wrote."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return [Result.of_document(one) for one in [*document["results"], *document.get("more", ())]]


def _earlier(machine: dict[str, Any]) -> list[Result]:
    place = RESULTS / "latest.json"
    if not place.is_file():
        return []
    same = json.loads(place.read_text(encoding="utf-8"))["machine"] == machine
    return load(place) if same else []


def _machine() -> dict[str, Any]:
    found = re.search(r"^model name\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return {
        "cores": os.cpu_count(),
        "processor": found[1] if found else platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _cpuinfo() -> str:
    place = Path("/proc/cpuinfo")
    return place.read_text(encoding="utf-8") if place.is_file() else ""


def filled(page: str, results: list[Result]) -> str:
    """The page with new tables, each between `<!-- name -->` and `<!-- /name -->`."""
    tables = {"goals": _goals(results), "peers": _peers(results), "growth": _growth(results)}
    for name, lines in tables.items():
        before, start, rest = page.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if start and end:
            page = "\n".join([before + start, *lines, end + after])
    return page


def _goals(results: list[Result]) -> list[str]:
    lines = ["| path | rules | measured | goal | |", "|---|---|---|---|---|"]
    for one in results:
        if one.path in NAMES and not one.peer:
            verdict = {True: "met", False: "**not met**", None: ""}[one.met]
            name = NAMES[one.path] + (
                f", {one.unit.removeprefix('ms ')}" if one.unit.startswith("ms ") else ""
            )
            lines.append(f"| {name} | {_number(one.rules)} | {_measured(one)} | {_goal(one)} | {verdict} |")
    return lines


def _measured(one: Result) -> str:
    if one.share is None:
        return f"{one.value:,.0f} ms" if one.path in LATENCIES else f"{one.value:,.2f} {one.unit}"
    return f"{_share(one)} ({one.value:,.{0 if one.value > 100 else 1}f} {one.unit})"


def _share(one: Result) -> str:
    assert one.share is not None
    if one.goal is not None and one.goal >= 1 and one.path != "bytes_per_state":
        return f"{one.share:.2f} times"
    return f"{one.share:.{0 if one.share >= 0.1 else 1}%}"


def _goal(one: Result) -> str:
    if one.goal is None:
        return ""
    sign = "≤" if one.path in LESS_IS_BETTER else "≥"
    if one.path in LATENCIES:
        return f"{sign} {one.goal:g} ms"
    if one.share is None or (one.goal >= 1 and one.path != "bytes_per_state"):
        return f"{sign} {one.goal:g} {'times' if one.share is not None else one.unit}"
    return f"{sign} {one.goal:.0%}"


def _peers(results: list[Result]) -> list[str]:
    lines = ["| path | whose | 10 rules | 100 rules | 1,000 rules |", "|---|---|---|---|---|"]
    for path in ("memory", "durable"):
        rows = [one for one in results if one.path == path and one.share is not None]
        for peer in dict.fromkeys(one.peer for one in sorted(rows, key=lambda one: bool(one.peer))):
            shares = {one.rules: _share(one) for one in rows if one.peer == peer}
            cells = " | ".join(shares.get(count, "") for count in (10, 100, 1_000))
            lines.append(f"| {path} | {peer or '**Touchline**'} | {cells} |")
    return lines


def _growth(results: list[Result]) -> list[str]:
    lines = ["| what varies | cost |", "|---|---|"]
    varied: dict[str, list[str]] = {}
    for one in results:
        if one.path == "growth":
            kind, _, amount = one.at.rpartition(" ")
            varied.setdefault(f"{kind} {one.note}".strip(), []).append(f"{amount}: {one.value:,.1f}")
    units = {
        f"{one.at.rpartition(' ')[0]} {one.note}".strip(): one.unit for one in results if one.path == "growth"
    }
    return [*lines, *(f"| {kind} | {' · '.join(cells)} {units[kind]} |" for kind, cells in varied.items())]


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


if __name__ == "__main__":  # after a change of the page or of its tables, without measuring anew
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), load(RESULTS / "latest.json")), encoding="utf-8")
