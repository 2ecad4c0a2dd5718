"""The walls: no function of more than 70 lines, no file of more than 400."""

from __future__ import annotations

import ast

from tests.house.tree import CODE, name_of, parsed, python_files

FUNCTION_LINES = 70
FILE_LINES = 400


def test_no_function_is_longer_than_the_wall() -> None:
    too_long = []
    for path in python_files(*CODE):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    too_long.append(f"{name_of(path)}:{node.lineno} {node.name}: {lines} lines")
    assert too_long == []


def test_no_file_is_longer_than_the_wall() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in python_files(*CODE)}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}
