"""Each room keeps its own tables; settings and the time are read in one place each."""

from __future__ import annotations

import ast
import importlib

import pytest
from sqlalchemy import Table

from tests.house import clocks
from tests.house.imports import full_names
from tests.house.tree import SHIPPED, name_of, parsed, python_files

ROOMS = {
    "backbone": "backbone.tables",
    "rules": "services.rules.tables",
    "actions": "services.actions.tables",
}
# a failpoint is no setting: tests of crashes arm it, before any settings are read
READS_SETTINGS = {"backbone/settings.py", "backbone/failpoint.py", "services/cli"}
READS_THE_TIME = {"backbone/clock.py"}


@pytest.mark.parametrize(("room", "module"), ROOMS.items())
def test_a_rooms_tables_carry_its_name(room: str, module: str) -> None:
    """As prefix (SQLite has no schemas) and as schema (PostgreSQL); nobody reads another's."""
    owned = [value for value in vars(importlib.import_module(module)).values() if isinstance(value, Table)]
    assert owned
    assert [table.name for table in owned if not table.name.startswith(f"{room}_")] == []
    assert [table.name for table in owned if table.schema != room] == []


def _outside(found: list[str], allowed: set[str]) -> list[str]:
    return [place for place in found if not place.startswith(tuple(allowed))]


def test_only_settings_read_the_environment() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in python_files(*SHIPPED)
        for node, name in full_names(parsed(path))
        if name.startswith(("os.environ", "os.getenv"))
    ]
    assert _outside(found, READS_SETTINGS) == []


def test_only_the_clock_reads_the_time_of_day() -> None:
    found = [
        f"{name_of(path)}:{line} {name}"
        for path in python_files(*SHIPPED, "deploy")
        for line, name in clocks.reads(parsed(path))
    ]
    assert _outside(found, READS_THE_TIME) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.time()",
        "import time as clock; at = clock.time_ns()",
        "from time import time; time()",
        "from time import time as now\ndef f(clock=now): pass",
        "from time import gmtime; gmtime()",
        "def f():\n    import time\n    return time.localtime()",
        "from datetime import datetime; datetime.now(UTC)",
        "import datetime; datetime.datetime.today()",
        "import datetime as dt; dt.date.today()",
        "from datetime import date as day; day.today()",
        "from schemas.event import datetime; datetime.utcnow()",
        "from uuid import uuid1; uuid1()",
        "import uuid; make = uuid.uuid7",
        "from email.utils import formatdate; formatdate()",
        "from sqlalchemy import func; select(func.now())",
    ],
)
def test_the_time_is_seen_to_be_read_under_any_name(source: str) -> None:
    assert clocks.reads(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.monotonic(); time.sleep(1)",
        "from datetime import datetime; datetime.fromisoformat(text)",
        "self.time.time()",
        "clock.now()",
        "from uuid import uuid4; uuid4()",
    ],
)
def test_what_reads_no_time_of_day_is_not_taken_for_it(source: str) -> None:
    assert not clocks.reads(ast.parse(source))
