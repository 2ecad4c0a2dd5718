"""Chores, and the first of them: what was deleted is not in the files any more."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, LargeBinary, Table, delete, insert, select

from backbone.database import Database, metadata
from backbone.errors import DatabaseUnavailable
from backbone.housekeeping import Housekeeping, HousekeepingJob

CANARY = b"canary" * 20
ROOM = metadata("rules")
THINGS = Table("rules_things", ROOM, Column("id", Integer, primary_key=True), Column("value", LargeBinary))


@pytest.fixture
def db(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with made.write() as conn:
        ROOM.create_all(conn)
    return made


def put(db: Database, *values: bytes) -> None:
    with db.write() as conn:
        conn.execute(insert(THINGS), [{"value": value} for value in values])


def erase(db: Database) -> None:
    with db.write() as conn:
        conn.execute(delete(THINGS))


def holding(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if CANARY[:30] in path.read_bytes())


@pytest.mark.parametrize("size", [1, 4, 400])  # in a page with others, a page, many pages that become free
def test_what_was_deleted_is_in_no_file(db: Database, tmp_path: Path, size: int) -> None:
    put(db, *(CANARY * size for _ in range(30)), b"stays")
    assert db.scrub()
    assert holding(tmp_path) == ["x.db"]
    erase(db)
    assert "x.db" in holding(tmp_path)  # until somebody moves the pages there
    assert db.scrub()
    assert holding(tmp_path) == []
    assert (tmp_path / "x.db-wal").stat().st_size == 0
    db.close()


def test_with_a_reader_it_is_for_the_next_time_and_writers_do_not_wait_for_it(
    db: Database, tmp_path: Path
) -> None:
    put(db, CANARY)
    with db.read() as conn:
        assert conn.execute(select(THINGS)).first() is not None
        erase(db)
        assert not db.scrub()
        put(db, b"goes on")
    assert db.scrub()
    assert holding(tmp_path) == []
    db.close()


def test_scrubbing_leaves_the_patience_of_a_connection_as_it_was(db: Database) -> None:
    put(db, CANARY)
    db.scrub()
    with db.read() as conn:
        assert conn.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000
    db.close()


def test_a_file_that_others_hold_is_no_error(db: Database, tmp_path: Path) -> None:
    put(db, CANARY)
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not db.scrub()
    other.close()
    assert db.scrub()
    db.close()


def test_chores_are_done_at_once_and_again_and_one_that_fails_stops_nobody() -> None:
    done: list[str] = []
    enough = threading.Event()

    def fail() -> None:
        done.append("bad")
        raise RuntimeError("boom")

    def away() -> None:
        raise DatabaseUnavailable("away")

    def good() -> None:
        done.append("good")
        if done.count("good") == 2:
            enough.set()

    upkeep = Housekeeping(
        [
            HousekeepingJob("bad", 0, fail),
            HousekeepingJob("away", 0, away),
            HousekeepingJob("good", 0, good),
            HousekeepingJob("rare", 3600, lambda: done.append("rare")),
        ]
    )
    upkeep.start()
    assert enough.wait(30)
    upkeep.stop()
    assert done.count("rare") == 1
    assert done.count("bad") >= 2
