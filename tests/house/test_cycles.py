"""No file imports one that imports it, be it over others: each can be read, and tested, on what lies below it."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest

from tests.house.imports import import_graph
from tests.house.tree import SHIPPED


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one cycle, the first repeated at the end; none: an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_file_imports_itself_over_others() -> None:
    assert cycle(import_graph(*SHIPPED, "deploy", "bench")) == []


@pytest.mark.parametrize(
    ("graph", "found"),
    [({"a": {"b"}, "b": {"c"}, "c": set()}, 0), ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, 3)],
)
def test_a_cycle_is_found(graph: dict[str, set[str]], found: int) -> None:
    assert len(set(cycle(graph))) == found
