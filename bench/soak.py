"""Memory of a rules worker over time with a bounded population: flat once every window is full.

A process of its own works off one part of the log after the other, ten days of events each, from 200 accounts under 100
rules of up to 30 days. `SOAK_S=1800` runs for half an hour.

python -m bench.soak SECONDS prints what it measured, one line a part: `elapsed events megabytes`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from backbone.gc_tuning import collect_less
from backbone.settings import load_settings
from bench import gen
from bench.durable import Bench
from bench.measure import Result

SECONDS = int(os.environ.get("SOAK_S", "60"))
POPULATION, RULES = 200, 100
PART, PART_DAYS = 10_000, 10
WARM = 6  # parts at least, twice the longest window; a third of all where there are more
FEWEST = 12  # parts, however slow the machine is


def soak(tick: Callable[[], None]) -> list[Result]:
    """Megabytes at the end (a quarter of the samples) against those after the warm-up (the first quarter after it)."""
    command = [sys.executable, "-m", "bench.soak", str(SECONDS)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    samples = [tuple(map(float, line.split())) for line in said.splitlines()]
    sizes = [size for *_, size in samples][max(WARM, len(samples) // 3) :]
    share = max(1, len(sizes) // 4)
    tick()
    note = f"{samples[-1][0] / 60:.1f} minutes, {samples[-1][1]:,.0f} events, {POPULATION} accounts, {RULES} rules"
    early, late = statistics.median(sizes[:share]), statistics.median(sizes[-share:])
    return [Result("soak", late, "MB", None, early, {"ours": sizes}, note)]


def main(seconds: float) -> None:
    """Work for so long."""
    collect_less()
    gen.ACCOUNTS = POPULATION
    started, done = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(load_settings(data_dir=Path(folder), clock="log", log_retention="3650d"), RULES)
        try:
            for number, (keys, values) in enumerate(_parts()):
                if number >= FEWEST and time.monotonic() - started > seconds:
                    return
                bench.append(keys, values)
                bench.work_off()
                done += len(values)
                print(f"{time.monotonic() - started:.1f} {done} {_megabytes():.1f}", flush=True)
        finally:
            bench.close()


def _parts() -> Iterator[tuple[list[str], list[bytes]]]:
    """The workload for ever, each part later than the one before."""
    ends = 0
    for number in count():
        lines = list(gen.events(PART, seed=number))
        events = [_moved(line, number) for line in lines]
        ends += len(events)
        yield [line.split('"account":"', 1)[1].split('"', 1)[0] for line in lines], events


def _moved(line: str, part: int) -> bytes:
    """Squeezed from 90 days to those of a part, and moved behind the part before."""
    head, rest = line.split('"time":"', 1)
    text, tail = rest.split('"', 1)
    start = datetime.fromisoformat("2026-01-01T00:00:00Z")
    since = (datetime.fromisoformat(text) - start) * (PART_DAYS / gen.SPAN_DAYS)
    at = start + timedelta(days=part * PART_DAYS) + since
    return f'{head}"time":"{at.isoformat(timespec="milliseconds")[:23]}Z"{tail}'.encode()


def _megabytes() -> float:
    """What the process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main(float(sys.argv[1]))
