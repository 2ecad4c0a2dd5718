"""Each room keeps its own tables; settings and the time are read in one place each."""

from __future__ import annotations

import ast
import importlib

import pytest
from sqlalchemy import Table

from tests.house.tree import SHIPPED, name_of, parsed, python_files

ROOMS = {
    "backbone": "backbone.tables",
    "rules": "services.rules.tables",
    "actions": "services.actions.tables",
}
# a failpoint is no setting: tests of crashes arm it, before any settings are read
READS_SETTINGS = {"backbone/settings.py", "backbone/failpoint.py", "services/cli"}
READS_THE_TIME = {"backbone/clock.py", "backbone/log/embedded/log.py"}


@pytest.mark.parametrize(("room", "module"), ROOMS.items())
def test_a_rooms_tables_carry_its_name(room: str, module: str) -> None:
    """As prefix (SQLite has no schemas) and as schema (PostgreSQL); nobody reads another's."""
    owned = [value for value in vars(importlib.import_module(module)).values() if isinstance(value, Table)]
    assert owned
    assert [table.name for table in owned if not table.name.startswith(f"{room}_")] == []
    assert [table.name for table in owned if table.schema != room] == []


def _uses(attributes: set[tuple[str, str]]) -> list[str]:
    return [
        f"{name_of(path)}:{node.lineno}"
        for path in python_files(*SHIPPED)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in attributes
    ]


def _outside(found: list[str], allowed: set[str]) -> list[str]:
    return [place for place in found if not place.startswith(tuple(allowed))]


def test_only_settings_read_the_environment() -> None:
    assert _outside(_uses({("os", "environ"), ("os", "getenv")}), READS_SETTINGS) == []


def test_only_the_clock_reads_the_time_of_day() -> None:
    wall = {
        ("time", "time"),
        ("time", "time_ns"),
        ("datetime", "now"),
        ("datetime", "utcnow"),
        ("date", "today"),
    }
    assert _outside(_uses(wall), READS_THE_TIME) == []
