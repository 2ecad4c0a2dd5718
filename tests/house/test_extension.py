"""Whoever adds a channel or a source writes one file, one line in a plain dict, one test (trigger
kinds: see `test_trigger_kinds`).

These checks say what was forgotten: the file, its docs, its schema, an example, a test.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.house.tree import ROOT, files

# dict → the folder of its entries, and where its words must be known besides docs and tests
REGISTERS = {
    "services.actions.channels:CHANNELS": ("services/actions/channels", ("schemas", "playbooks")),
}
TEXTS = {".py", ".md", ".yaml", ".yml", ".json"}


def _register(name: str) -> dict[str, Any]:
    module, _, attribute = name.partition(":")
    found: dict[str, Any] = getattr(importlib.import_module(module), attribute)
    return found


def entries() -> Iterator[tuple[str, str]]:
    """(register, key) of everything that is registered."""
    for name in REGISTERS:
        yield from ((name, str(key)) for key in _register(name))


def mentioned(word: str, folder: str, suffixes: set[str] = TEXTS) -> bool:
    """Whether a file below this folder says the word (any of `-`, `_` and blank may join its parts)."""
    pattern = re.compile(rf"\b{re.escape(word).replace('_', '[-_ ]')}\b", re.IGNORECASE)
    root = ROOT / folder
    return any(
        pattern.search(path.stem) or pattern.search(path.read_text(encoding="utf-8"))
        for path in files()
        if path.suffix in suffixes and root in path.parents
    )


@pytest.mark.parametrize(("register", "key"), list(entries()))
def test_nothing_was_forgotten(register: str, key: str) -> None:
    folder, also = REGISTERS[register]
    forgotten = []
    if not (ROOT / folder / f"{key}.py").is_file() and not (ROOT / folder / key / "__init__.py").is_file():
        forgotten.append(f"its file {folder}/{key}.py, or its package {folder}/{key}/")
    if not mentioned(key, "docs", {".md"}):
        forgotten.append("its docs (docs/**/*.md)")
    if not mentioned(key, "tests"):
        forgotten.append("its test")
    forgotten += [f"its place in {other}/" for other in also if not mentioned(key, other)]
    assert forgotten == [], f"{key} of {register} lacks {', '.join(forgotten)}"


@pytest.mark.parametrize("register", REGISTERS)
def test_every_file_is_registered(register: str) -> None:
    """A file beside the dict that defines a kind, channel or source but is not named in it does nothing."""
    folder, _ = REGISTERS[register]
    known = {f"{key}.py" for key in _register(register)}
    marker = re.compile(r"^(?:KIND|CHANNEL|SOURCE)\b", re.MULTILINE)
    stray = [
        path.name
        for path in (ROOT / folder).glob("*.py")
        if path.name not in known and path.name != "__init__.py" and marker.search(path.read_text())
    ]
    assert stray == []
