"""Importing a module connects to nothing, starts nothing and writes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.house.tree import ROOT, SHIPPED, name_of, python_files

IMPORT_ALL = """
import importlib, os, socket, subprocess, sys, threading
def forbidden(*args, **kwargs):
    raise AssertionError("an import opened a connection or started a process")
socket.socket.connect = forbidden
subprocess.Popen.__init__ = forbidden
threads = threading.active_count()
for name in sys.argv[1:]:
    importlib.import_module(name)
assert threading.active_count() == threads, "an import started a thread"
assert os.listdir() == [], "an import wrote a file"
"""


def _modules() -> list[str]:
    names = []
    for path in python_files(*SHIPPED):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        # Alembic's files run only inside a migration
        if "migrations" not in parts and parts[-1] != "__main__":
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def test_imports_have_no_side_effects(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IMPORT_ALL, *_modules()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_no_shipped_module_imports_tests_or_tools() -> None:
    guilty = [
        name_of(path)
        for path in python_files(*SHIPPED)
        if any(
            f"{verb} {room}" in path.read_text()
            for verb in ("import", "from")
            for room in ("tests", "bench.")
        )
    ]
    assert guilty == []
