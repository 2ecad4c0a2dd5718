"""A PostgreSQL that takes no writes for a while, as after a failover: rules wait, and go on by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.errors import DatabaseUnavailable
from backbone.log import EVENTS, Entry
from backbone.log.embedded.log import EmbeddedLog
from backbone.migrations import migrate_all
from backbone.settings import load_settings
from schemas.event import Event, encode, from_microseconds
from services.rules.tables import accounts
from services.rules.worker import RulesWorker
from tests.services.rules.test_worker import T0

pytestmark = pytest.mark.postgres


def until(done: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, f"{what} did not happen"


def only_reads(db: Database, on: bool) -> None:
    with db.engine.connect() as conn:
        conn.execute(text("SET TRANSACTION READ WRITE"))
        name = conn.scalar(text("SELECT current_database()"))
        conn.execute(
            text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {"on" if on else "off"}')
        )
        conn.commit()
    db.close()  # what is connected keeps its setting


def test_rules_wait_while_postgresql_takes_no_writes(fresh_postgres_url: str, tmp_path: Path) -> None:
    url = load_settings(database_url=fresh_postgres_url).url
    db, other = Database(url), Database(url)
    migrate_all(db)
    log = EmbeddedLog(tmp_path, 1)
    worker = RulesWorker(db, log, ManualClock(T0), clock_mode="log")
    worker.start()

    def post(name: str) -> None:
        event = Event(type="login", id=name, account=name, time=from_microseconds(T0))
        log.append(EVENTS, [Entry(value=encode(event), key=name)]).result(timeout=10)

    def known() -> set[str]:
        with other.read() as conn:
            return set(conn.scalars(select(accounts.c.account)))

    try:
        post("before")
        until(lambda: known() == {"before"}, "the first event")
        only_reads(other, True)
        db.close()
        with pytest.raises(DatabaseUnavailable), other.write() as conn:
            conn.execute(text("CREATE TABLE x ()"))
        post("meanwhile")
        until(lambda: not worker.tasks, "giving the partition up")
        assert worker.alive
        only_reads(other, False)
        until(lambda: known() == {"before", "meanwhile"}, "going on")
        assert worker.failure is None
    finally:
        worker.stop()
        log.close()
        db.close()
        other.close()
