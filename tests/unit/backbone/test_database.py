import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, String, Table, func, insert, select

from backbone import tables as backbone_tables
from backbone.database import ROOMS, Database, insert_new, metadata, upsert
from backbone.errors import ConfigurationError, DatabaseUnavailable
from backbone.migrations import check_schema, migrate, migrate_all
from backbone.settings import load_settings
from services.ingest import tables as ingest_tables

room = metadata("rules")
things = Table("rules_things", room, Column("name", String(10), primary_key=True), Column("n", Integer))


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path}/x.db")
    with database.write() as connection:
        room.create_all(connection)
    return database


def test_upsert_and_insert_new(db: Database) -> None:
    with db.write() as connection:
        upsert(connection, things, [{"name": "a", "n": 1}, {"name": "b", "n": 1}], ["name"])
        upsert(connection, things, [{"name": "a", "n": 2}], ["name"])
        upsert(connection, things, [], ["name"])
        assert insert_new(connection, things, [{"name": "a", "n": 3}, {"name": "c", "n": 3}]) == 1
    with db.read() as connection:
        rows = connection.execute(select(things).order_by(things.c.name)).all()
    assert [tuple(row) for row in rows] == [("a", 2), ("b", 1), ("c", 3)]


def test_an_exception_rolls_back(db: Database) -> None:
    def fail() -> None:
        with db.write() as connection:
            connection.execute(insert(things).values(name="a", n=1))
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    with db.read() as connection:
        assert connection.execute(select(func.count()).select_from(things)).scalar() == 0


def test_writers_take_turns(db: Database) -> None:
    """Read, then write what was read plus one, from several threads: no update is lost."""
    with db.write() as connection:
        connection.execute(insert(things).values(name="a", n=0))

    def add() -> None:
        for _ in range(20):
            with db.write() as connection:
                n = connection.execute(select(things.c.n)).scalar_one()
                connection.execute(things.update().values(n=n + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as connection:
        assert connection.execute(select(things.c.n)).scalar_one() == 80


def test_reading_sees_one_snapshot(db: Database) -> None:
    with db.read() as reader:
        assert reader.execute(select(func.count()).select_from(things)).scalar() == 0
        with db.write() as writer:
            writer.execute(insert(things).values(name="a", n=1))
        assert reader.execute(select(func.count()).select_from(things)).scalar() == 0


def test_write_inside_write_is_a_mistake(db: Database) -> None:
    with db.write(), pytest.raises(RuntimeError, match="inside"), db.write():
        pass
    with db.write():
        pass


def test_what_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/no/such/folder/x.db")
    with pytest.raises(DatabaseUnavailable), database.read():
        pass
    assert not database.ping()


def test_durability_settings(db: Database) -> None:
    with db.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_migrations_fit_the_tables(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/m.db")
    with pytest.raises(ConfigurationError, match="touchline migrate"):
        check_schema(database, "backbone", backbone_tables.metadata)
    migrate_all(database, ["backbone", "ingest"])
    migrate(database, "backbone")
    check_schema(database, "backbone", backbone_tables.metadata)
    check_schema(database, "ingest", ingest_tables.metadata)
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE ingest_erased")
        connection.exec_driver_sql("CREATE TABLE ingest_erased (account BLOB)")
    with pytest.raises(ConfigurationError) as caught:
        check_schema(database, "ingest", ingest_tables.metadata)
    assert "no column ingest_erased.erased_at" in caught.value.message
    assert "no unique index on ingest_erased (account)" in caught.value.message


def migrate_at_once(url: str, rooms: Sequence[str] = ROOMS) -> None:
    """Three times at the same time, as if by three processes."""

    def work() -> None:
        with closing(Database(url)) as database:
            migrate_all(database, rooms)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work) for _ in range(3)]:
            done.result()


def test_migrations_run_several_times_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    migrate_at_once(url, ["backbone", "ingest"])
    check_schema(Database(url), "ingest", ingest_tables.metadata)


def test_several_open_a_new_database_at_the_same_moment(tmp_path: Path) -> None:
    """SQLite refuses some of them: it does not wait for the lock under which the write-ahead log is set up."""

    def opened(number: int, gate: threading.Barrier) -> None:
        with closing(Database(f"sqlite:///{tmp_path}/{number}.db")) as database:
            gate.wait()
            with database.read():
                pass

    with ThreadPoolExecutor(4) as pool:
        for number in range(60):
            gate = threading.Barrier(4)
            for done in [pool.submit(opened, number, gate) for _ in range(4)]:
                done.result()


@pytest.mark.postgres
def test_migrations_on_postgresql(fresh_postgres_url: str) -> None:
    url = load_settings(database_url=fresh_postgres_url).url
    migrate_at_once(url)
    database = Database(url)
    check_schema(database, "backbone", backbone_tables.metadata)
    check_schema(database, "ingest", ingest_tables.metadata)
    with database.write() as connection:
        rows = [{"account": b"a", "erased_at": 1}]
        upsert(connection, ingest_tables.erased, rows, ["account"])
        assert insert_new(connection, ingest_tables.erased, rows, ["account"]) == 0
    database.close()


def test_another_process_that_leaves_takes_no_file_away(tmp_path: Path) -> None:
    """A connection that opens beside others must not drop their locks: the next process to leave, such as
    `touchline keys`, would delete the write-ahead file under them."""
    path = tmp_path / "touchline.db"
    db = Database(f"sqlite:///{path}")
    with db.write() as conn:
        conn.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    with db.read() as conn, db.write() as other:  # two connections: the second is opened beside the first
        conn.exec_driver_sql("SELECT * FROM t").all()
        other.exec_driver_sql("INSERT INTO t VALUES (1)")
    beside = path.with_name("touchline.db-wal")
    file = beside.stat().st_ino
    visit = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(*c.execute('SELECT n FROM t'));  c.close()"
    for number in (2, 3):
        said = subprocess.run([sys.executable, "-c", visit, str(path)], capture_output=True, check=True)
        assert len(said.stdout.split()) == number - 1
        assert beside.stat().st_ino == file
        with db.write() as conn:
            conn.exec_driver_sql(f"INSERT INTO t VALUES ({number})")
    db.close()
