"""The pure rooms are told the time; they read no clock, no environment and no file, and know no async.

What they may import is import-linter's part (see pyproject.toml); this looks at what they do with it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.tree import PURE, name_of, parsed, python_files

READS_A_CLOCK = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns"}
OWNERS = {"datetime", "date", "time", "dt"}
BUILTINS = {"open", "print", "input", "eval", "exec", "__import__"}

# Conditions and hot paths are compiled to Python; users' texts stand in it only as literals (see `build`).
ALLOWED = {
    ("schemas/conditions/codegen.py", "exec()"),
    ("services/rules/engine/fastpath/codegen.py", "exec()"),
}


def impurities(tree: ast.Module) -> list[tuple[int, str]]:
    """Line and description of everything a pure room must not do."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            found.append((node.lineno, "async"))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILTINS:
            found.append((node.lineno, f"{node.func.id}()"))
        elif isinstance(node, ast.Attribute) and node.attr in READS_A_CLOCK and _owner(node) in OWNERS:
            found.append((node.lineno, f"{_owner(node)}.{node.attr}"))
        elif isinstance(node, ast.Global):
            found.append((node.lineno, "global"))
    return found


def _owner(node: ast.Attribute) -> str:
    value = node.value
    return value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_does_nothing_but_compute(room: str) -> None:
    assert [
        f"{name_of(path)}:{line} {what}"
        for path in python_files(room)
        for line, what in impurities(parsed(path))
        if (name_of(path), what) not in ALLOWED
    ] == []


@pytest.mark.parametrize(
    "source",
    ["datetime.now()", "datetime.datetime.utcnow()", "date.today()", "async def f(): pass", "open('x')"],
)
def test_the_check_itself_sees_an_impurity(source: str, tmp_path: Path) -> None:
    assert impurities(ast.parse(source))
