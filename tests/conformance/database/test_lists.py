"""Lists under every filter and sort, on both databases: pages joined are the whole list, as a slow oracle gives it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, delete, insert

from backbone.auth import create_key
from backbone.clock import ManualClock
from backbone.database import Database
from backbone.http import create_app
from backbone.log.embedded import EmbeddedLog
from backbone.migrations import migrate_all
from backbone.settings import Settings
from schemas.event import microseconds, rfc3339
from schemas.trigger import Position, Trigger
from services.rules import store
from services.rules.api_accounts import triggers_router
from services.rules.change import _stored
from services.rules.tables import triggers

NOW = microseconds(datetime(2026, 11, 1, tzinfo=UTC))
DAY = 86_400_000_000
examples = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
DAYS = st.integers(0, 4)


class Lists:
    """A service of these routes over an empty database."""

    name = "lists"

    def __init__(self, routers: list[APIRouter]) -> None:
        self.routers = routers

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def ready(self) -> bool:
        return True

    def status(self) -> dict[str, Any]:
        return {}


class Reader:
    """Asks for lists."""

    def __init__(self, db: Database, folder: Path, *routers: APIRouter) -> None:
        self.db, clock, log = db, ManualClock(NOW), EmbeddedLog(folder, 1)
        app = create_app("t", settings=Settings(), db=db, log=log, clock=clock, services=[Lists([*routers])])
        key = create_key(db, clock, "test", ["admin"])
        self.client = TestClient(app, headers={"authorization": f"Bearer {key}"})
        self.close = log.close

    def whole(self, path: str, **asked: Any) -> list[dict[str, Any]]:
        """Every page, joined."""
        asked = {name: value for name, value in asked.items() if value is not None}
        found, cursor = [], None
        while True:
            answer = self.client.get(path, params=asked if cursor is None else {**asked, "cursor": cursor})
            assert answer.status_code == 200, answer.text
            body = answer.json()
            found += body["items"]
            assert len(body["items"]) <= asked["limit"]
            cursor = body["next_cursor"]
            if cursor is None:
                return found
            assert len(body["items"]) == asked["limit"], "only the last page is short"

    def fill(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """These rows and no others, in this order."""
        with self.db.write() as conn:
            conn.execute(delete(table))
            if rows:
                conn.execute(insert(table), rows)


@pytest.fixture
def reader(db: Database, tmp_path: Path) -> Iterator[Reader]:
    migrate_all(db)
    made = Reader(db, tmp_path / "log", triggers_router(db))
    yield made
    made.close()


def time(day: int | None) -> str | None:
    return None if day is None else rfc3339(NOW + day * DAY)


def within(moment: int, asked: dict[str, Any]) -> bool:
    """Whether a moment (of a day) lies between `after` and `before`, given as days."""
    after, before = asked.get("after"), asked.get("before")
    return (after is None or moment > after) and (before is None or moment < before)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


LONG = "k" * 1024
TRIGGER = st.fixed_dictionaries(
    {
        "rule": st.sampled_from(["a", "b"]),
        "account": st.sampled_from(["acme", "a/b é"]),
        "tier": st.sampled_from(["high", "low"]),
        "key": optional(st.sampled_from(["", "88", LONG, LONG[:-1] + "x"])),
        "at": DAYS,
    }
)
TRIGGERS_ASKED = st.fixed_dictionaries(
    {
        "limit": st.integers(1, 4),
        "rule": optional(st.sampled_from(["a", "b", "c"])),
        "account": optional(st.sampled_from(["acme", "a/b é"])),
        "tier": optional(st.sampled_from(["high", "low", "tech"])),
        "key": optional(st.sampled_from(["", "88", LONG])),
        "after": optional(DAYS),
        "before": optional(DAYS),
    }
)


@examples
@given(rows=st.lists(TRIGGER, max_size=12), asked=TRIGGERS_ASKED)
def test_triggers(reader: Reader, rows: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    made = [
        Trigger(
            id=f"trg_{n}", rule=row["rule"], rule_version=1, account=row["account"], key=row["key"],
            tier=row["tier"], at=rfc3339(NOW + row["at"] * DAY), reason="absent", position=Position(0, n),
        )
        for n, row in enumerate(rows)
    ]  # fmt: skip
    reader.fill(triggers, [])
    with reader.db.write() as conn:
        store.save_triggers(conn, [_stored(trigger) for trigger in made])
    wanted = [
        f"trg_{n}"
        for n, row in reversed(list(enumerate(rows)))
        if within(row["at"], asked)
        and all(asked[name] in {None, row[name]} for name in ("rule", "account", "tier", "key"))
    ]
    times = {"after": time(asked["after"]), "before": time(asked["before"])}
    assert [one["id"] for one in reader.whole("/v1/triggers", **{**asked, **times})] == wanted
