"""Counts on both databases: whoever writes and however it ends, they are those of the rows."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Barrier, Thread

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, column, delete, insert, select, table, update

from backbone.database import Database
from backbone.migrations import _config, migrate
from backbone.stats import fold as folding
from backbone.stats.counted import QUARTER_US
from backbone.stats.fold import fold
from services.actions.stats_tables import COUNTED, STATS
from services.actions.storage.erasure import ToErase, erase
from services.actions.tables import actions, plays
from services.rules import tables as rules
from tests.conformance.database.analyst import make
from tests.conformance.database.counting import ACTIONS, NOW, PLAYS, action, play, read
from tests.migrated import migrated
from tests.recount import ROOMS, check_counts, kept


@pytest.fixture
def house(db: Database) -> Database:
    migrated(db)
    return db


# -- writers that commit, roll back and die, against a recount

WRITERS = ("a", "b", "c")
WORDS = ["make", "make", "end", "touch", "move", "drop", "again", "commit", "commit", "roll back", "die"]
STEPS = st.lists(
    st.tuples(st.sampled_from(WRITERS), st.sampled_from(WORDS), st.integers(0, 3))
    | st.just(("", "fold", 0))
    | st.just(("", "look", 0)),
    min_size=10,
    max_size=50,
)
RUNS: list[int] = []


class Writers:
    """Their transactions stay open until they commit. On SQLite, with its one writer, each ends at once."""

    def __init__(self, db: Database, run: int) -> None:
        self.db, self.run, self.count = db, run, 0
        self.open: dict[str, tuple[ExitStack, Connection]] = {}

    def write(self, who: str, what: str, number: int) -> None:
        if what in {"commit", "roll back", "die"}:
            self.end(who, what)
        elif self.db.dialect == "sqlite":
            with self.db.engine.connect() as plain:
                conn = plain.execution_options(touchline_immediate=True)
                with conn.begin() as transaction:
                    self._do(conn, who, what, number)
                    if number == 3:
                        transaction.rollback()
        else:
            if who not in self.open:
                stack = ExitStack()
                connection = stack.enter_context(self.db.engine.connect())
                connection.begin()
                self.open[who] = stack, connection
            self._do(self.open[who][1], who, what, number)

    def _do(self, conn: Connection, who: str, what: str, number: int) -> None:
        mine = actions.c.account == who
        self.count += 1
        if what == "make":
            rows = [
                action(f"{self.run}-{self.count}-{n}", account=who, due_at=NOW + (n - 1) * QUARTER_US // 2)
                for n in range(number)
            ]
            conn.execute(insert(actions), rows) if rows else None
        elif what == "end":
            done = update(actions).where(mine, actions.c.seq % 4 >= number)
            conn.execute(done.values(status="done", done_at=NOW - number * QUARTER_US, reason="sent"))
        elif what == "touch":  # nothing that counts
            conn.execute(update(actions).where(mine).values(lease_owner="x", status=actions.c.status))
        elif what == "move":
            conn.execute(update(actions).where(mine).values(channel=f"c{number}", tier=None, due_at=0))
        elif what == "drop":
            conn.execute(delete(actions).where(mine, actions.c.seq % 3 == number))
        else:
            erase(conn, ToErase(who, None, []), NOW)

    def end(self, who: str, how: str) -> None:
        stack, connection = self.open.pop(who, (ExitStack(), None))
        with stack:
            if connection is not None:
                ways = {"commit": connection.commit, "roll back": connection.rollback}
                ways.get(how, connection.invalidate)()

    def close(self) -> None:
        for who in list(self.open):
            self.end(who, "commit")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, at_once=st.integers(1, 4))
def test_counts_are_those_of_the_rows(
    house: Database, steps: list[tuple[str, str, int]], at_once: int
) -> None:
    writers = Writers(house, len(RUNS))
    RUNS.append(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "AT_ONCE", at_once)
        try:
            for who, what, number in steps:
                if what == "fold":
                    fold(house, STATS)
                elif what == "look":
                    check_counts(house)
                else:
                    writers.write(who, what, number)
        finally:
            writers.close()
        check_counts(house)
        fold(house, STATS)
    check_counts(house)
    with house.read() as conn:
        assert conn.execute(select(STATS.changes)).all() == []
        assert conn.execute(select(STATS.counts).where(STATS.counts.c.n <= 0)).all() == []


def test_writers_and_folders_at_once(house: Database) -> None:
    if house.dialect == "sqlite":
        return  # has one writer at a time
    start = Barrier(5)
    failed: list[BaseException] = []

    def work(name: str) -> None:
        start.wait()
        try:
            for n in range(30):
                with house.write() as conn:
                    conn.execute(insert(actions), [action(f"{name}-{n}-{m}", account=name) for m in range(5)])
                with house.write() as conn:
                    mine = update(actions).where(
                        actions.c.account == name, actions.c.id.startswith(f"{name}-{n}-")
                    )
                    conn.execute(mine.values(status="done", done_at=NOW + n * QUARTER_US))
                if name in "de":
                    fold(house, STATS)
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    threads = [Thread(target=work, args=(name,)) for name in "abcde"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    check_counts(house)
    fold(house, STATS)
    check_counts(house)
    assert read(house, ACTIONS, "status") == [("done", 750)]


def test_two_that_fold_do_not_wait_for_each_other(house: Database) -> None:
    if house.dialect == "sqlite":
        return
    with house.write() as conn:
        make(conn, "t")
        with house.write() as other:
            assert folding._alone(other, STATS)
            assert not folding._alone(conn, STATS)
            assert folding._alone(conn, rules.STATS)  # the other service's counts are nobody's business
        assert folding._alone(conn, STATS)


def test_long_names_fit(house: Database) -> None:
    """They are longer than what PostgreSQL takes into an index."""
    long = "".join(chr(0x10000 + n * n * 7919 % 0xFFFF) for n in range(256))
    with house.write() as conn:
        conn.execute(insert(plays), [play("1", rule=long, playbook=long[::-1])])
    fold(house, STATS)
    assert read(house, PLAYS, "rule", "playbook") == [(long, long[::-1], 1)]
    check_counts(house)


# -- migrations


def test_a_migration_counts_what_is_there(db: Database) -> None:
    migrate(db, "rules", "r018")
    migrate(db, "actions", "a070")
    old = {"account": "acme", "partition": 0, "doc": b"{}", "rule": "r"}
    names = [*old, "id", "at", "tier"]
    schema = "rules" if db.dialect == "postgresql" else None
    with db.write() as conn:
        rows = [
            {**old, "id": f"t{n}", "at": NOW + n * QUARTER_US // 3, "tier": ("low", None)[n % 2]}
            for n in range(20)
        ]
        plain = insert(table("rules_triggers", *map(column, names), schema=schema))
        conn.execute(plain, rows)
        conn.execute(insert(plays), [play(f"p{n}", status="exited", reason="x") for n in range(3)])
        conn.execute(insert(actions), [action("a1"), action("a2", done_at=NOW + QUARTER_US)])
        make(conn, "t1", "t2")
    for _ in range(2):  # down and up again: nothing counts twice
        migrate(db, "rules")
        migrate(db, "actions")
        check_counts(db)
        with db.read() as conn:
            numbers = [sum(kept(conn, STATS, one).values()) for one in COUNTED]
            assert numbers == [3, 2, 2]
            assert sum(kept(conn, rules.STATS, rules.COUNTED[0]).values()) == 20
        downgraded(db)


def downgraded(db: Database) -> None:
    for room, to in (("rules", "r018"), ("actions", "a070")):
        config = _config(room)
        with db.write() as conn:
            config.attributes.update(connection=conn, room=room)
            command.downgrade(config, to)


def test_every_counted_table_has_its_kind(house: Database) -> None:
    for tables, kinds, sources in ROOMS:
        assert [one.table for one in kinds] == [one.name for one in sources]
        assert set(tables.dimensions) == {name for one in kinds for name in one.dimensions}
    check_counts(house)
