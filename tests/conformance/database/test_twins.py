"""What the two databases promise alike: transactions, upserts, fences, migrations that can be run at any time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from backbone import tables as backbone_tables
from backbone.database import Database, insert_new, metadata, upsert
from backbone.errors import ConfigurationError, DatabaseUnavailable
from backbone.log import EVENTS, TRIGGERS
from backbone.migrations import check_schema, migrate_all
from backbone.ownership import Fenced
from backbone.settings import load_settings
from deploy.local.process import wait_until
from services.actions import tables as actions_tables
from services.actions.storage.ownership import OWNERSHIP as ACTIONS
from services.app import prepare
from services.ingest import tables as ingest_tables
from services.rules import tables as rules_tables
from services.rules.storage.ownership import OWNERSHIP as RULES
from tests.migrated import migrated

ROOMS = {
    "backbone": backbone_tables.metadata,
    "ingest": ingest_tables.metadata,
    "rules": rules_tables.metadata,
    "actions": actions_tables.metadata,
}
room = metadata("backbone")
things = Table(
    "backbone_things",
    room,
    Column("name", String(10), primary_key=True),
    Column("n", Integer),
    Column("big", BigInteger),
    Column("raw", LargeBinary),
)


@pytest.fixture
def with_things(db: Database) -> Database:
    migrated(db, ["backbone"])
    with db.write() as conn:
        room.create_all(conn, tables=[things])
    return db


def at_once(work: Callable[[int], Any], count: int = 4) -> list[Exception]:
    """Run it in so many threads; what they raised."""
    errors: list[Exception] = []

    def one(number: int) -> None:
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_upsert_and_insert_new(with_things: Database) -> None:
    rows = [{"name": "a", "n": 1}, {"name": "b", "n": 1}]
    with with_things.write() as conn:
        upsert(conn, things, rows, ["name"])
        upsert(conn, things, [{"name": "a", "n": 2}], ["name"])
        upsert(conn, things, [], ["name"])
        assert insert_new(conn, things, [{"name": "a", "n": 3}, {"name": "c", "n": 3}], ["name"]) == 1
    with with_things.read() as conn:
        found = conn.execute(select(things.c.name, things.c.n).order_by(things.c.name)).all()
    assert [tuple(row) for row in found] == [("a", 2), ("b", 1), ("c", 3)]


def test_values_come_back_as_they_were(with_things: Database) -> None:
    row = {"name": "ü\U0001f600", "n": -1, "big": 9_007_199_254_740_993, "raw": bytes(range(256))}
    with with_things.write() as conn:
        conn.execute(insert(things).values(row))
    with with_things.read() as conn:
        assert conn.execute(select(things)).one()._asdict() == row


def test_an_exception_rolls_back(with_things: Database) -> None:
    def fail() -> None:
        with with_things.write() as conn:
            conn.execute(insert(things).values(name="a", n=1))
            raise LookupError("no")

    with pytest.raises(LookupError):
        fail()
    with with_things.read() as conn:
        assert conn.scalar(select(func.count()).select_from(things)) == 0


def test_the_same_new_row_from_many_threads_is_one(with_things: Database) -> None:
    counts: list[int] = []

    def work(_: int) -> None:
        with with_things.write() as conn:
            counts.append(insert_new(conn, things, [{"name": "a", "n": 1}], ["name"]))

    assert at_once(work) == []
    assert sorted(counts) == [0, 0, 0, 1]


def test_an_update_tells_how_many_rows_it_met(with_things: Database) -> None:
    """The fences rest on it: `WHERE epoch = mine` that meets no row is somebody else's partition."""
    with with_things.write() as conn:
        conn.execute(insert(things).values(name="a", n=1))
        assert conn.execute(update(things).where(things.c.n == 1).values(n=1)).rowcount == 1, (
            "no change counts too"
        )
        assert conn.execute(update(things).where(things.c.n == 2).values(n=3)).rowcount == 0


def test_the_last_to_claim_a_rules_partition_owns_it(db: Database) -> None:
    migrated(db, ["backbone", "rules"])
    (old,) = RULES.claim(db, [3], {EVENTS: {3: 40}})
    (new,) = RULES.claim(db, [3], {EVENTS: {3: 0}})
    assert (old.next_offset, new.next_offset, new.epoch) == (40, 40, old.epoch + 1)
    old.next_offset = 50
    with pytest.raises(Fenced), db.write() as conn:
        RULES.advance(conn, old, (40,))
    new.next_offset = 45
    with db.write() as conn:
        RULES.advance(conn, new, (40,))
    with pytest.raises(Fenced), db.write() as conn:
        RULES.advance(conn, new, (40,))
    with db.read() as conn:
        assert RULES.positions(conn)[3].next_offset == 45


def test_the_last_to_claim_an_actions_partition_owns_it(db: Database) -> None:
    migrated(db, ["backbone", "actions"])
    (old,) = ACTIONS.claim(db, [3], {EVENTS: {3: 4}, TRIGGERS: {3: 5}})
    (new,) = ACTIONS.claim(db, [3], {})
    old.next_event = new.next_event = 9
    with pytest.raises(Fenced), db.write() as conn:
        ACTIONS.advance(conn, old, (4, 5))
    for elsewhere in ((3, 5), (4, 6)):  # ours, but not where the table stands
        with pytest.raises(Fenced), db.write() as conn:
            ACTIONS.advance(conn, new, elsewhere)
    with db.write() as conn:
        ACTIONS.advance(conn, new, (4, 5))
    with db.read() as conn:
        assert ACTIONS.positions(conn)[3] == new


def test_claims_at_once_get_epochs_of_their_own(db: Database) -> None:
    migrated(db, ["backbone", "rules"])
    taken: list[int] = []
    assert at_once(lambda _: taken.append(RULES.claim(db, [0], {})[0].epoch)) == []
    assert sorted(taken) == [1, 2, 3, 4]


def test_migrations_twice(db: Database) -> None:
    migrate_all(db)
    migrate_all(db)
    for name, tables in ROOMS.items():
        check_schema(db, name, tables)


def test_migrations_by_processes_at_once(url: str, db: Database) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHLINE_")}
    env |= {"TOUCHLINE_DATABASE_URL": url}
    command = [sys.executable, "-m", "services.cli.main", "migrate"]
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    for name, tables in ROOMS.items():
        check_schema(db, name, tables)


def test_a_boot_on_tables_that_do_not_fit_is_refused(db: Database) -> None:
    with pytest.raises(ConfigurationError, match="touchline migrate"):
        check_schema(db, "rules", rules_tables.metadata)
    migrated(db)
    table = "rules.rules_triggers" if db.dialect == "postgresql" else "rules_triggers"
    with db.write() as conn:
        if db.dialect == "postgresql":
            conn.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT rules_triggers_id")
        else:
            conn.exec_driver_sql(f"DROP TABLE {table}")
            conn.exec_driver_sql(f"CREATE TABLE {table} (seq INTEGER PRIMARY KEY, id TEXT)")
    with pytest.raises(ConfigurationError, match="do not fit") as caught:
        check_schema(db, "rules", rules_tables.metadata)
    assert "no unique index on rules_triggers (id)" in caught.value.message


@pytest.mark.parametrize(
    ("name", "among"),
    [
        ("backbone", {"backbone_keys (hash)"}),
        ("ingest", {"ingest_erased (account)"}),
        ("rules", {"rules_triggers (id)", "rules_accounts (account)", "rules_partitions (partition)"}),
        ("actions", {"actions_plays (id)", "actions_actions (id)", "actions_tasks (id)"}),
    ],
)
def test_every_unique_index_is_asked_for_at_the_start(db: Database, name: str, among: set[str]) -> None:
    """Each room's tables are made anew with their columns alone; the start names all that is missing."""
    migrated(db)
    schema = f"{name}." if db.dialect == "postgresql" else ""
    expected: set[str] = set()
    with db.write() as conn:
        if not schema:  # else no table can be renamed while a trigger names one that is gone
            conn.exec_driver_sql("PRAGMA legacy_alter_table=ON")
        for table in ROOMS[name].sorted_tables:
            conn.exec_driver_sql(f"CREATE TABLE {schema}bare AS SELECT * FROM {schema}{table.name}")
            conn.exec_driver_sql(
                f"DROP TABLE {schema}{table.name} CASCADE" if schema else f"DROP TABLE {table.name}"
            )
            conn.exec_driver_sql(f"ALTER TABLE {schema}bare RENAME TO {table.name}")
            unique = [
                table.primary_key,
                *(one for one in table.constraints if isinstance(one, UniqueConstraint)),
            ]
            unique += [index for index in table.indexes if index.unique]
            expected |= {f"{table.name} ({', '.join(sorted(c.name for c in one.columns))})" for one in unique}
    with pytest.raises(ConfigurationError, match="do not fit: ") as caught:
        prepare(db, [] if name == "backbone" else [name])
    told = caught.value.message.partition("do not fit: ")[2]
    assert set(told.replace("no unique index on ", "").replace("), ", ");").split(";")) == expected
    assert among <= expected


def start(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`touchline serve rules` on that database, until it ends."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHLINE_")}
    env |= {"TOUCHLINE_DATABASE_URL": url, "TOUCHLINE_DATA_DIR": str(folder), "TOUCHLINE_PORT": "0"}
    command = [sys.executable, "-m", "services.cli.main", "serve", "rules"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.postgres
def test_a_server_that_is_gone_without_a_word_is_given_up(fresh_postgres_url: str) -> None:
    """As the address says, or within some 20 seconds."""
    for query, expected in (("", 20_000), ("?tcp_user_timeout=7000&application_name=mine", 7_000)):
        db = Database(load_settings(database_url=fresh_postgres_url + query).url, pool_size=1)
        with db.read() as conn:
            raw: Any = conn.connection.dbapi_connection
            with socket.socket(fileno=os.dup(raw.fileno())) as wire:
                assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == expected
                assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
            name = conn.exec_driver_sql("SHOW application_name").scalar_one()
            assert name == ("mine" if query else "touchline")
        db.close()


@pytest.mark.postgres
@pytest.mark.parametrize("rows", [1, 30])
def test_rows_of_a_transaction_that_stands_still_are_let_go(fresh_postgres_url: str, rows: int) -> None:
    """Whatever it did last: many rows at once go as a pipeline, behind which the server alone would not look."""
    query = "?options=-c%20idle_in_transaction_session_timeout%3D200ms"
    frozen = Database(load_settings(database_url=fresh_postgres_url + query).url)
    other = Database(load_settings(database_url=fresh_postgres_url).url)
    migrated(other, ["backbone"])
    with other.write() as conn:
        room.create_all(conn, tables=[things])
    idle = text("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")

    def let_go() -> bool:
        with other.read() as conn:
            return bool(conn.scalar(idle) == 0)

    def stand_still() -> None:
        with frozen.write() as conn:
            conn.execute(insert(things), [{"name": str(number), "n": number} for number in range(rows)])
            wait_until("the server ends it", let_go, 30)

    try:
        with pytest.raises(DatabaseUnavailable):
            stand_still()
    finally:
        frozen.close()
        other.close()


@pytest.mark.postgres
def test_a_service_refuses_to_start_on_a_broken_index(fresh_postgres_url: str, tmp_path: Path) -> None:
    """Dropped, replaced by one that holds for some rows only, or left invalid by a making that failed."""
    db = Database(load_settings(database_url=fresh_postgres_url).url)
    migrated(db)
    with db.write() as conn:
        conn.exec_driver_sql("ALTER TABLE rules.rules_triggers DROP CONSTRAINT rules_triggers_id")
        conn.exec_driver_sql("CREATE UNIQUE INDEX later_ones ON rules.rules_triggers (id) WHERE seq > 9")
        row = "(name, number, due) VALUES ('a', 1, 0), ('a', 2, 0)"
        conn.exec_driver_sql("CREATE TABLE rules.spare (name TEXT, number INT, due INT)")
        conn.exec_driver_sql(f"INSERT INTO rules.spare {row}")
    making = db.engine.execution_options(isolation_level="AUTOCOMMIT")
    with pytest.raises(IntegrityError), making.connect() as conn:
        conn.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY spare_name ON rules.spare (name)")
    db.close()
    ended = start(fresh_postgres_url, tmp_path)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert "no unique index on rules_triggers (id)" in said
    assert "the unique index spare_name is invalid" in said
    assert "Traceback" not in said


def test_the_migrations_make_what_the_tables_say(db: Database) -> None:
    """Columns, and every index by name."""
    migrated(db)
    seen = inspect(db.engine)
    for name, tables in ROOMS.items():
        schema = name if db.dialect == "postgresql" else None
        for table in tables.sorted_tables:
            columns = {column["name"] for column in seen.get_columns(table.name, schema=schema)}
            assert columns == set(table.columns.keys()), table.name
            made = {index["name"] for index in seen.get_indexes(table.name, schema=schema)}
            assert {index.name for index in table.indexes} <= made, table.name
