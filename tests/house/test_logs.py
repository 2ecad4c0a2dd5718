"""Log calls hand over errors as they are: what may be told of them is decided in one place."""

from __future__ import annotations

import ast

from tests.house.tree import SHIPPED, name_of, parsed, python_files

METHODS = {"debug", "info", "warning", "error", "exception", "critical"}


def _texts_of_errors(call: ast.Call) -> list[str]:
    found = []
    for node in [*call.args, *(each.value for each in call.keywords)]:
        for inner in ast.walk(node):
            name = inner.func.id if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) else ""
            if name in {"repr", "str"} and ast.unparse(inner.args[0]) in {"error", "problem", "exc", "e"}:
                found.append(ast.unparse(inner))
            if isinstance(inner, ast.FormattedValue) and ast.unparse(inner.value) in {"error", "exc", "e"}:
                found.append(ast.unparse(inner))
    return found


def test_no_log_call_makes_a_text_of_an_error() -> None:
    wrong = []
    for path in python_files(*SHIPPED):
        for node in ast.walk(parsed(path)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in METHODS
                and isinstance(node.func.value, ast.Name)
                and "log" in node.func.value.id
            ):
                wrong += [f"{name_of(path)}:{node.lineno} {text}" for text in _texts_of_errors(node)]
    assert wrong == []
