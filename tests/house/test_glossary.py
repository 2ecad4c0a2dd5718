"""The glossary says each word once, and what it names in the code is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.house.tree import ROOT, SHIPPED, parsed, python_files

GLOSSARY = ROOT / "docs/glossary.md"
CODE_NAME = re.compile(r"`([^`]+)`")


def _tables() -> list[list[list[str]]]:
    """Every table of the page: its rows without the head, each a list of cells."""
    tables: list[list[list[str]]] = [[]]
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif tables[-1]:
            tables.append([])
    return [table[2:] for table in tables if table]


def _terms() -> list[list[str]]:
    return _tables()[0]


@cache
def _defined() -> frozenset[str]:
    """Classes, functions, methods and constants of the shipped code, by their bare names."""
    names: set[str] = set()
    for path in python_files(*SHIPPED):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
        for node in parsed(path).body:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return frozenset(names)


def test_there_are_two_tables_of_full_rows() -> None:
    terms, told_apart = _tables()
    assert len(terms) > 80
    assert [row for row in terms if len(row) != 4 or not row[1] or not row[2]] == []
    assert [row for row in told_apart if len(row) != 2 or not row[1]] == []


@pytest.mark.parametrize("number", [0, 1])
def test_words_are_sorted_and_stand_once(number: int) -> None:
    words = [row[0].lower() for row in _tables()[number]]
    assert words == sorted(set(words))


def test_what_it_names_in_the_code_is_there() -> None:
    """A class that is renamed is renamed in the glossary too; a path is one of the repository."""
    missing = [
        f"{term}: {name}"
        for term, _, _, code in _terms()
        for name in CODE_NAME.findall(code)
        if not ((ROOT / name).exists() if "/" in name else name in _defined())
    ]
    assert missing == [], "docs/glossary.md names what no code defines: rename it there too"


def test_a_code_name_belongs_to_few_terms() -> None:
    """A class that stands for four terms stands for none."""
    users: dict[str, list[str]] = {}
    for term, _, _, code in _terms():
        for name in CODE_NAME.findall(code):
            users.setdefault(name, []).append(term)
    assert {name: terms for name, terms in users.items() if len(terms) > 3} == {}
