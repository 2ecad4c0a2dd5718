"""The collector stays on, and cycles still go."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbone.gc_tuning import YOUNG, collect_less
from backbone.settings import load_settings
from services.app import open_runtime


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


def test_cycles_are_found_without_being_asked_for() -> None:
    collect_less()
    knot = weakref.ref(Knot())
    held = [[] for _ in range(2 * YOUNG)]
    assert gc.isenabled()
    assert knot() is None
    assert held


def test_a_house_sets_it(tmp_path: Path) -> None:
    gc.set_threshold(700, 10, 10)
    with open_runtime(load_settings(data_dir=tmp_path), ["ingest"]):
        assert gc.get_threshold()[0] == YOUNG
