"""No filter of a list reads a whole table: what SQLite's planner says, which has no statistics here, so that an index
that fits is what it goes by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log.embedded.log import EmbeddedLog
from schemas.event import rfc3339
from services.actions.api import plays, tasks
from services.actions.api.plays import Times
from services.rules.api.account_events import AccountEvents
from services.rules.api.accounts import accounts_router, triggers_router
from services.rules.api.explain import Explainer
from tests.conformance.database.reading import DAY, NOW, Reader
from tests.migrated import migrated

TIMES = {"after": rfc3339(NOW), "before": rfc3339(NOW + DAY)}
NARROWED = {"account": "acme", "rule": "r", "playbook": "p", "tier": "low", "owner": "jo@us.test", **TIMES}
FILTERS: dict[str, dict[str, Any]] = {
    "/v1/accounts": {"tier": "low", "owner": "jo@us.test", "q": "acme"},
    "/v1/triggers": {"id": ["trg_1", "trg_2"], "rule": "r", "account": "acme", "tier": "low", "key": "88", **TIMES},
    "/v1/plays": {"id": ["ply_1", "ply_2"], **NARROWED, "status": "open", "reason": "by_hand"},
    "/v1/actions": {
        **NARROWED, "play": "p", "channel": "email", "recipient": "ann@acme.test", "status": "done",
        "reason": "timeout",
    },
    "/v1/tasks": {
        **NARROWED, "assignee": "jo@us.test", "status": "completed", "reason": "by_hand", "priority": "high",
        "due_before": rfc3339(NOW + DAY), "sort": "due", "overdue": "true",
    },
}  # fmt: skip
ASKED = [(path, name, value) for path, given_ in FILTERS.items() for name, value in given_.items()]
ASKED += [
    ("/v1/tasks", "status", "open"),
    ("/v1/tasks", "status", "snoozed"),
    ("/v1/tasks", "sort", "priority"),
]


@pytest.mark.parametrize(("path", "name", "value"), ASKED, ids=[f"{path} {name}" for path, name, _ in ASKED])
def test_no_filter_reads_a_whole_table(tmp_path: Path, path: str, name: str, value: Any) -> None:
    db = Database(f"sqlite:///{tmp_path / 'x.db'}")
    migrated(db)
    times = Times(db, ManualClock(NOW), log_clock=False)
    clock, asked = ManualClock(NOW), []
    routers = (
        plays.router(db, clock, times, 1, lambda: None),
        tasks.router(db, times, 1, lambda: None),
    )
    explainer = Explainer(db, clock, wall=True, partition_of=lambda _: 0, unhealthy=lambda _: None)
    events = AccountEvents(db, EmbeddedLog(tmp_path / "events", 1), wall=True)
    of_rules = accounts_router(db, explainer, events), triggers_router(db)
    reader = Reader(db, tmp_path / "log", *routers, *of_rules)
    with listening(db, asked):
        assert reader.client.get(path, params={name: value}).status_code == 200
    ((text, parameters),) = [one for one in asked if "LIMIT" in one[0] and "ORDER BY" in one[0]]
    with db.read() as conn:
        plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)]
    assert not any(line.startswith("SCAN") and "USING" not in line for line in plan), plan
    reader.close()
    db.close()


@contextmanager
def listening(db: Database, heard: list[tuple[str, Any]]) -> Iterator[None]:
    """What is said to the database meanwhile."""

    def hear(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        heard.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", hear)
    yield
    event.remove(db.engine, "before_cursor_execute", hear)
