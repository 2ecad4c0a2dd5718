"""The views of the schema `reporting` on PostgreSQL say what the API says, row for row and field for field."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Integer, LargeBinary, String, Table, exc, insert, text

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.migrations import migrate
from schemas.event import rfc3339
from schemas.play_reasons import ActionReason, PlayReason
from schemas.trigger import Position, Trigger, TriggerEvent, Window
from services.actions.api import plays as api_plays
from services.actions.api import tasks as api_tasks
from services.actions.api.plays import Times
from services.actions.policy.queue import STANDS
from services.actions.tables import actions, plays, tasks
from services.rules.api.accounts import triggers_router
from services.rules.storage import queries
from services.rules.storage.write_set import _stored
from tests.conformance.database.reading import DAY, NOW, Reader
from tests.conformance.database.test_account_exports import ACME, House
from tests.migrated import migrated

pytestmark = pytest.mark.postgres
ROWS = 150
NOT_THERE = {"sentence"}  # made when somebody asks
STATUSES = {
    "plays": ["open", "finished", "exited", "skipped", "held", "held_out"],
    "actions": ["pending", "retrying", "done", "failed", "skipped", "uncertain"],
    "tasks": ["open", "snoozed", "completed", "closed"],
}
REASONS = {"plays": list(PlayReason), "actions": list(ActionReason), "tasks": list(PlayReason)}


@pytest.fixture
def db(fresh_postgres_url: str) -> Iterator[Database]:
    with closing(Database(fresh_postgres_url)) as made:
        yield made


def view(db: Database, name: str) -> dict[str, dict[str, Any]]:
    """The rows of a view by id, their values as the API writes them."""
    with db.read() as conn:
        found = conn.execute(text(f"SELECT * FROM reporting.{name}")).mappings().all()
    return {row["id"]: {key: plain(value) for key, value in row.items()} for row in found}


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(round(value.timestamp() * 1_000_000))
    return float(value) if isinstance(value, Decimal) else value


def same(db: Database, name: str, items: list[dict[str, Any]]) -> None:
    shown = {one["id"]: {key: one[key] for key in one if key not in NOT_THERE} for one in items}
    found = view(db, name)
    assert found.keys() == shown.keys()
    for id_, row in found.items():
        missing = {key: None for key in row if key not in shown[id_]}  # what the API leaves out
        assert row == shown[id_] | missing


def rows_of(table: Table, kind: str, random: Random) -> list[dict[str, Any]]:
    """Rows with all sorts of values in all columns."""

    def value(column: Any) -> Any:
        if column.name == "status":
            return random.choice(STATUSES[kind])
        if column.name == "reason":
            return random.choice([None, *REASONS[kind]])
        if column.nullable and random.random() < 0.3:
            return None
        match column.type:
            case Boolean():
                return random.random() < 0.5
            case JSON():
                return {}
            case LargeBinary():
                return b"x"
            case String():
                return random.choice(["", "a", "Ünï \"x'", "high"])
            case Integer():
                return random.randrange(100)
            case _:
                return NOW + random.randrange(DAY)

    names = [column for column in table.c if column.name not in {"seq", "stamp", "id"}]
    rows = [{"id": f"{kind}_{n}", **{one.name: value(one) for one in names}} for n in range(ROWS)]
    if kind == "tasks":
        for row in rows:
            row["snoozed_until"] = NOW + DAY if row["status"] == "snoozed" else row["snoozed_until"]
    if kind == "actions":
        rows[0] |= {"waits": True, "next_look_at": STANDS}
        rows[1] |= {"waits": True, "next_look_at": NOW}
    return rows


def test_plays_actions_and_tasks(db: Database, tmp_path: Path) -> None:
    migrated(db)
    clock = ManualClock(NOW)
    times = Times(db, clock, log_clock=False)
    routes = (
        api_plays.router(db, clock, times, 1, lambda: None),
        api_tasks.router(db, times, 1, lambda: None),
    )
    reader, random = Reader(db, tmp_path / "log", *routes), Random(16)
    for kind, table in (("plays", plays), ("actions", actions), ("tasks", tasks)):
        with db.write() as conn:
            conn.execute(insert(table), rows_of(table, kind, random))
        same(db, kind, reader.whole(f"/v1/{kind}", limit=1_000))
    reader.close()


def trigger(number: int, **more: Any) -> Trigger:
    given = {
        "id": f"trg_{number}", "rule": "r", "rule_version": 2, "account": "acme", "tier": "low", "reason": "fired",
        "at": rfc3339(NOW + number), "position": Position(1, number),
    }  # fmt: skip
    return Trigger(**{**given, **more})


def test_triggers(db: Database, tmp_path: Path) -> None:
    """Also those whose events hold what `jsonb` cannot: a NUL."""
    migrated(db)
    hostile = {
        "nul": "a\0b\\",
        "no nul": "\\u0000",
        "deep": [[{"a": None}]],
        "big": 1e22,
        "small": -0.5,
        "é": "\ud7ff",
    }
    event = TriggerEvent("e", "s", "t", rfc3339(NOW), hostile)
    made = [
        trigger(0),
        trigger(
            1, contact="ann", key='"88"', event_id="e", event=event, value=7, value_exact=False, threshold=5
        ),
        trigger(
            2, value=0.1, threshold="30d", window=Window(rfc3339(NOW), rfc3339(NOW + 1)), evidence=["a", "b"]
        ),
        trigger(
            3, figures={"recent": 1, "baseline": 2.5}, shadow=True, depth=2, scope="contact", playbook="p"
        ),
    ]
    with db.write() as conn:
        queries.save_triggers(conn, [_stored(one) for one in made])
    reader = Reader(db, tmp_path / "log", triggers_router(db))
    items = reader.whole("/v1/triggers", limit=10)
    items[2]["event"]["data"]["nul"] = "a\ufffdb\\"
    for one in items:  # a number or a duration: the view has its text
        one["threshold"] = None if one["threshold"] is None else str(one["threshold"])
    same(db, "triggers", items)
    reader.close()


def test_accounts(db: Database, tmp_path: Path) -> None:
    migrated(db)
    house = House(db, tmp_path)
    owner = {
        "owner": {"name": "Jo", "email": "jo@us.test"},
        "timezone": "Europe/Berlin",
        "domains": ["acme.test"],
    }
    house.post(
        ("acme", "account.updated", {**ACME, "name": "Acme"} | owner), ("globex", "login", {}), ("b", "x", {})
    )
    house.post(("b", "account.merged", {"into": "globex"}))
    house.rows.sweep()
    same(db, "accounts", [house.shown(name) for name in ("acme", "globex", "b")])
    house.post(("acme", "account.deleted", None))
    assert view(db, "accounts").keys() == {"globex", "b"}
    house.close()


def test_services_with_a_database_each(fresh_postgres_url: str, new_database: Any) -> None:
    for room, there in (("rules", {"accounts", "triggers"}), ("actions", {"plays", "actions", "tasks"})):
        with closing(Database(new_database())) as apart:
            migrate(apart, "backbone")
            migrate(apart, room)
            with apart.read() as conn:
                names = text("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'")
                assert set(conn.execute(names).scalars()) == there


def test_a_user_who_may_read_the_views_and_nothing_else(db: Database) -> None:
    """The statements of docs/analysts.md."""
    migrated(db)
    page = Path(__file__).parents[3] / "docs" / "analysts.md"
    granting = page.read_text().split("```sql\n")[1].split("```")[0]
    with db.write() as conn:
        conn.execute(text("DROP ROLE IF EXISTS analyst"))
        for statement in granting.strip().rstrip(";").split(";"):
            conn.execute(text(statement.replace("DATABASE touchline", f"DATABASE {db.engine.url.database}")))
    try:
        with db.write() as conn:
            conn.execute(text("SET LOCAL ROLE analyst"))
            for name in ("triggers", "plays", "actions", "tasks", "accounts"):
                assert conn.execute(text(f"SELECT count(*) FROM reporting.{name}")).scalar() == 0
        for closed in ("rules.rules_triggers", "actions.actions_tasks", "backbone.backbone_keys"):
            with db.engine.connect() as conn:
                conn.execute(text("SET ROLE analyst"))
                with pytest.raises(exc.ProgrammingError, match="permission denied"):
                    conn.execute(text(f"SELECT count(*) FROM {closed}"))
                conn.rollback()
    finally:
        with db.write() as conn:
            conn.execute(text("DROP OWNED BY analyst"))
            conn.execute(text("DROP ROLE analyst"))
