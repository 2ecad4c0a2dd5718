"""Chaos is run by `make chaos` alone. Every run prints its seed; TOUCHLINE_CHAOS_SEED plays it again."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.e2e.conftest import make_stack, sink

__all__ = ["make_stack", "sink"]

_SEED = os.environ.get("TOUCHLINE_CHAOS_SEED")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave chaos out of every run that does not ask for it by its marker."""
    if "chaos" in str(config.option.markexpr):
        return
    here = Path(__file__).parent
    left_out = [item for item in items if here in item.path.parents]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if here not in item.path.parents]


@pytest.fixture
def seed(capsys: pytest.CaptureFixture[str]) -> int:
    """The seed of this run."""
    chosen = int(_SEED) if _SEED else random.SystemRandom().randrange(1 << 32)
    with capsys.disabled():
        print(f"\nTOUCHLINE_CHAOS_SEED={chosen}")
    return chosen
