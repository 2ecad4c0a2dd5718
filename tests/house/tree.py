"""The files of the repository, as the house rules see them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("schemas", "backbone", "services", "playbooks", "sources", "sinks", "deploy", "bench", "tests")
SHIPPED = ("schemas", "backbone", "services")
LIBRARIES = ("playbooks", "sources", "sinks")  # documents, shipped too
PURE = (
    "schemas",
    "services/rules/engine",
    "services/actions/plays",
    "services/actions/impact",
    "services/actions/policy",
    "services/actions/rehearsal",
    "services/ingest/formats",
    "services/ingest/decoding",
    "services/ingest/sources",
)


@cache
def files() -> tuple[Path, ...]:
    """Every file that git tracks or would add; without git (a tarball) every file outside hidden folders."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return tuple(sorted(_walk()))
    return tuple(sorted(ROOT / name for name in said.split("\0") if name and (ROOT / name).is_file()))


def _walk() -> Iterator[Path]:
    for path in ROOT.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        if path.is_file() and not hidden and "data" not in path.parts:
            yield path


def python_files(*folders: str) -> list[Path]:
    """The Python files below these folders of the repository."""
    roots = tuple(ROOT / folder for folder in folders)
    return [
        path
        for path in files()
        if path.suffix == ".py" and any(root == path or root in path.parents for root in roots)
    ]


def name_of(path: Path) -> str:
    """The path as messages show it."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
