"""The imports of a module, by name: files of the repository, and names from other packages."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.house.tree import ROOT, parsed, python_files


def module_of(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(*folders: str) -> dict[str, set[str]]:
    """For each module below these folders: the modules among them that it imports, anywhere in its file.

    Imports in functions and under `TYPE_CHECKING` count. That importing `a.b` runs `a/__init__.py` does not.
    """
    trees = {module_of(path): parsed(path) for path in python_files(*folders)}
    return {name: set(_imported(tree, trees)) - {name} for name, tree in trees.items()}


def _imported(tree: ast.Module, known: Mapping[str, object]) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else str(node.module) for name in whole]
        else:
            continue
        yield from (name for name in names if name in known)


def full_names(tree: ast.Module) -> list[tuple[ast.expr, str]]:
    """Every use of an imported name, with its full name: `time.time` for `t` after `from time import time as t`.

    Only the longest chain of attributes is returned: `datetime.datetime.now` for `datetime.datetime.now()`.
    """
    local = _aliases(tree)
    found, inner = [], set()
    for node in ast.walk(tree):  # outer nodes come first
        if not isinstance(node, ast.Name | ast.Attribute) or node in inner:
            continue
        attributes: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            attributes.insert(0, base.attr)
            base = base.value
            inner.add(base)
        if isinstance(base, ast.Name) and base.id in local:
            found.append((node, ".".join([local[base.id], *attributes])))
    return found


def _aliases(tree: ast.Module) -> dict[str, str]:
    """The names that imports bind, with the full names that they stand for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found
