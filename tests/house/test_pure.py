"""The pure rooms are told the time; they read no clock, no environment and no file, and know no async.

What they may import is import-linter's part (see pyproject.toml); this looks at what they do with it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house import clocks
from tests.house.tree import PURE, name_of, parsed, python_files

BUILTINS = {"open", "print", "input", "eval", "exec", "__import__"}

# Conditions and hot paths are compiled to Python; users' texts stand in it only as literals (see `build`).
ALLOWED = {
    ("schemas/conditions/codegen.py", "exec()"),
    ("services/rules/engine/fastpath/codegen.py", "exec()"),
}


def impurities(tree: ast.Module) -> list[tuple[int, str]]:
    """Line and description of everything a pure room must not do."""
    found = clocks.reads(tree, clocks.ANY_CLOCK)
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            found.append((node.lineno, "async"))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILTINS:
            found.append((node.lineno, f"{node.func.id}()"))
        elif isinstance(node, ast.Global):
            found.append((node.lineno, "global"))
    return found


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
    [
        "from datetime import datetime as when; when.now()",
        "from datetime import date; date.today()",
        "from time import perf_counter as tick; tick()",
        "from uuid import uuid7; uuid7()",
        "async def f(): pass",
        "open('x')",
    ],
)
def test_the_check_itself_sees_an_impurity(source: str, tmp_path: Path) -> None:
    assert impurities(ast.parse(source))
