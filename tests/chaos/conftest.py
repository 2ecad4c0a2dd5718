"""Only `make chaos` runs these tests: the faults of `tests/e2e` at full size.

Every run prints its seed and how to run it again. TOUCHLINE_CHAOS_SCALE (1 is the full size) makes every size smaller;
TOUCHLINE_CHAOS_EVENTS, _KILLS and _MINUTES set one size each.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import make_stack, sink
from tests.e2e.progress import Progress

__all__ = ["make_stack", "sink"]

# Read when pytest starts, since no test sees the shell's TOUCHLINE_* later.
_GIVEN = {
    name.removeprefix("TOUCHLINE_CHAOS_"): value
    for name, value in os.environ.items()
    if name.startswith("TOUCHLINE_CHAOS_")
}
_SEED = int(_GIVEN.get("SEED") or random.SystemRandom().randrange(1 << 32))
_SCALE = float(_GIVEN.get("SCALE") or 1)
_FIGURES: list[str] = []

Size = Callable[..., int]
Told = Callable[..., None]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave chaos out of every run that does not ask for it by its marker."""
    if "chaos" in str(config.option.markexpr):
        return
    here = Path(__file__).parent
    left_out = [item for item in items if here in item.path.parents]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if here not in item.path.parents]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures of every fault, together."""
    if _FIGURES:
        terminalreporter.section(f"what chaos found (seed {_SEED}, scale {_SCALE:g})")
        for line in _FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run."""
    sizes = " ".join(
        f"TOUCHLINE_CHAOS_{name}={value}" for name, value in sorted(_GIVEN.items()) if name != "SEED"
    )
    again = " ".join(filter(None, [f"TOUCHLINE_CHAOS_SEED={_SEED}", sizes]))
    print(
        f"\n{request.node.name}: again with\n  {again} make chaos ONLY={request.function.__name__}",
        flush=True,
    )
    return _SEED


@pytest.fixture
def size() -> Size:
    """A size, at least 1: size(1_000_000, "EVENTS") unless the environment says otherwise."""

    def of(full: float, name: str = "", least: int = 1) -> int:
        if name and name in _GIVEN:
            return int(_GIVEN[name])
        return max(least, round(full * _SCALE))

    return of


@pytest.fixture
def progress(request: pytest.FixtureRequest) -> Callable[..., Progress]:
    """A progress line: progress(events=1_000_000, kills=600)."""
    return lambda **totals: Progress(request.node.name, shown=True, **totals)


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Told:
    """Prints a line, and again at the end of the run: told("600 kills", report)."""

    def keep(*words: object) -> None:
        line = f"{request.node.name}: {', '.join(map(str, words))}"
        _FIGURES.append(line)
        print(f"\n{line}", flush=True)

    return keep
