"""What is declared is imported, or named here with its reason; what is imported is declared, where it is needed."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import CODE, ROOT, SHIPPED, parsed, python_files

# Declared, and no import of ours says so.
UNIMPORTED = {
    "httptools": "uvicorn's parser of HTTP, which backbone/web/server.py builds on",
    "psycopg": "SQLAlchemy's way to PostgreSQL",
    "python-snappy": "kafka-python takes it for what other programs compress so",
    "tzdata": "zoneinfo takes it where the system has no time zones",
    "zstandard": "kafka-python takes it for what other programs compress so",
    # of developers
    "hatchling": "the build back end, for `pip install --no-build-isolation`",
    "import-linter": "a command",
    "mypy": "a command",
    "openapi-python-client": "a command",
    "py-spy": "a command",
    "pytest-asyncio": "a plug-in of pytest",
    "pytest-timeout": "a plug-in of pytest",
    "pytest-xdist": "a plug-in of pytest",
    "ruff": "a command",
    "schemathesis": "a command",
    "types-jsonschema": "for mypy",
    "types-psutil": "for mypy",
    "types-pyyaml": "for mypy",
}
OURS = {*CODE, "docs", "examples"}


def _declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
    return {canonicalize_name(Requirement(item).name) for each in lists for item in each}


def _imported(*folders: str) -> set[str]:
    """The distributions that the modules of these folders import; a module that is not installed by its own name."""
    modules = {
        name.partition(".")[0]
        for path in python_files(*folders)
        for node in ast.walk(parsed(path))
        for name in _names(node)
    }
    owners = packages_distributions()
    foreign = modules - OURS - sys.stdlib_module_names
    return {canonicalize_name(owner) for module in foreign for owner in set(owners.get(module, [module]))}


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


@pytest.mark.parametrize(
    ("folders", "extras"),
    [(SHIPPED, ()), (("deploy",), ()), (("tests", "playbooks"), ("dev",)), (("bench",), ("dev", "bench"))],
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    """Of deploy/ too: `make stack` has the packages that Touchline runs on, and no others."""
    assert sorted(_imported(*folders) - _declared(*extras)) == []


def test_what_is_declared_is_used() -> None:
    used = _imported(*SHIPPED) | UNIMPORTED.keys()
    assert sorted(_declared() - used) == [], "remove it, move it to dev, or name its reason"
    used |= _imported(*CODE)
    assert sorted(_declared("dev", "bench") - used) == [], "remove it, or name its reason"


def test_the_reasons_are_of_what_is_declared_and_not_imported() -> None:
    assert sorted(UNIMPORTED.keys() - _declared("dev", "bench")) == []
    assert sorted(UNIMPORTED.keys() & _imported(*SHIPPED)) == []
