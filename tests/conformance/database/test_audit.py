"""The audit on both databases: what is written is listed as it was, goes with its transaction, and leaves in time."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from backbone.audit import AuditTrail, prune
from backbone.clock import ManualClock
from backbone.database import Database
from backbone.tables import audit
from schemas.event import rfc3339
from tests.conformance.database.reading import NOW, Reader
from tests.migrated import migrated

SECOND = 1_000_000
ODD = {"text": "é \u2028 \\ \" '", "list": [1, 2.5, None, True], "secret": "s"}


@pytest.fixture
def tables(db: Database) -> Database:
    migrated(db, ["backbone"])
    return db


def trail(at: int, service: str = "lists", actor: str = "ann") -> AuditTrail:
    return AuditTrail(ManualClock(at), service, actor, "PUT", "/v1/things/{name}")


def test_what_is_written_is_listed(tables: Database, tmp_path: Path) -> None:
    reader = Reader(tables, tmp_path / "log")

    def listed(**query: Any) -> list[Any]:
        items = reader.client.get("/v1/audit", params=query).json()["items"]
        return [(one["object"], one["version"]) for one in items if not one["object"].startswith("key/")]

    with tables.write() as conn:
        trail(NOW).note(conn, "thing", "a/b", version=1, after=ODD)
        trail(NOW + SECOND).note(conn, "thing", "a/b", version=2, before=ODD, after={})
        trail(NOW + SECOND, actor="bob").note(conn, "other", "a", before={})
        trail(NOW, service="elsewhere").note(conn, "thing", "a/b", version=3)
    with suppress(RuntimeError), tables.write() as conn:
        trail(NOW).note(conn, "thing", "lost", after={})
        raise RuntimeError
    assert listed() == [("other/a", None), ("thing/a/b", 2), ("thing/a/b", 1)]
    assert listed(object="thing/a/b") == listed(object="thing") == [("thing/a/b", 2), ("thing/a/b", 1)]
    assert listed(actor="bob") == [("other/a", None)]
    assert listed(after=rfc3339(NOW)) == [("other/a", None), ("thing/a/b", 2)]
    first = reader.client.get("/v1/audit", params={"object": "thing"}).json()["items"][1]
    assert (first["before"], first["after"]) == (None, ODD | {"secret": "***"})
    prune(tables, NOW + SECOND)
    assert listed() == [("other/a", None), ("thing/a/b", 2)]
    with tables.read() as conn:
        assert conn.scalar(select(func.count()).where(audit.c.service == "elsewhere")) == 0
    reader.close()


@pytest.mark.parametrize(
    "query", [{"actor": "ann"}, {"object": "thing/a"}, {"object": "thing"}, {"after": rfc3339(NOW)}, {}]
)
def test_no_filter_reads_the_whole_table(tmp_path: Path, query: dict[str, str]) -> None:
    db = Database(f"sqlite:///{tmp_path / 'x.db'}")
    migrated(db, ["backbone"])
    reader, heard = Reader(db, tmp_path / "log"), []

    def hear(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        heard.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", hear)
    assert reader.client.get("/v1/audit", params=query).status_code == 200
    event.remove(db.engine, "before_cursor_execute", hear)
    ((text, parameters),) = [one for one in heard if "LIMIT" in one[0]]
    with db.read() as conn:
        plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)]
    assert not any("TEMP B-TREE" in line for line in plan), plan
    assert query == {} or not any(line.startswith("SCAN") for line in plan), plan
    reader.close()
    db.close()
