"""Exports on both databases: a reader who goes on from the last cursor has what is there, whoever writes meanwhile."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, text, update

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.errors import ConfigurationError
from backbone.exports import erased, stamps
from backbone.exports.formats import body
from backbone.exports.reading import CHUNK, Page
from backbone.migrations import migrate
from services.actions.api import exports
from services.actions.api.plays import Times
from services.actions.storage.erasure import ToErase, erase
from services.actions.storage.status import set_task
from services.actions.storage.task_rows import wake
from services.actions.tables import actions, export_erased, tasks
from tests.conformance.database.analyst import PLAIN, TASKS, Analyst, make, rename
from tests.conformance.database.reading import NOW, Reader
from tests.migrated import migrated


@pytest.fixture
def reader(db: Database, tmp_path: Path) -> Iterator[Reader]:
    migrated(db)
    made = Reader(db, tmp_path / "log", exports.router(db, Times(db, ManualClock(NOW), log_clock=False)))
    yield made
    made.close()


def there(reader: Reader) -> dict[str, str]:
    """The tasks in the table and their titles."""
    with reader.db.read() as conn:
        return {row.id: row.title for row in conn.execute(select(tasks))}


def held(analyst: Analyst) -> dict[str, str]:
    return {one["id"]: one["title"] for one in analyst.copy.values()}


# -- a reader against writers

WRITERS = ("a", "b", "c")  # each has an account and tasks of its own, so that none waits for another
WORDS = ["make", "make", "rename", "erase", "commit", "commit", "roll back", "die"]
WRITTEN = st.tuples(st.sampled_from(WRITERS), st.sampled_from(WORDS))
READ = st.tuples(st.just("read"), st.integers(1, 3))
STEPS = st.lists(WRITTEN | READ, min_size=10, max_size=40)


class Writers:
    """Writers whose transactions stay open until they commit. On SQLite there is one writer: it commits at once."""

    def __init__(self, db: Database, run: int) -> None:
        self.db, self.run, self.count = db, run, 0
        self.open: dict[str, tuple[ExitStack, Connection]] = {}

    def write(self, who: str, what: str) -> None:
        if what in {"commit", "roll back", "die"}:
            self.end(who, what)
            return
        if self.db.dialect == "sqlite":
            with self.db.write() as conn:
                self._do(conn, who, what)
            return
        if who not in self.open:
            connection = self.db.engine.connect()
            connection.begin()
            stack = ExitStack()
            stack.callback(connection.close)
            self.open[who] = stack, connection
        self._do(self.open[who][1], who, what)

    def _do(self, conn: Connection, who: str, what: str) -> None:
        self.count += 1
        if what == "make":
            make(conn, f"{self.run}-{self.count}", account=who)
        elif what == "rename":
            conn.execute(update(tasks).where(tasks.c.account == who).values(title=f"t{self.count}"))
        else:
            erase(conn, ToErase(who, None, []), NOW)

    def end(self, who: str, how: str) -> None:
        stack, connection = self.open.pop(who, (ExitStack(), None))
        if connection is not None:
            {"commit": connection.commit, "roll back": connection.rollback, "die": connection.invalidate}[
                how
            ]()
        stack.close()

    def close(self) -> None:
        for who in list(self.open):
            self.end(who, "commit")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, limit=st.integers(1, 4))
def test_nothing_is_missed_and_nothing_comes_twice(
    reader: Reader, steps: list[tuple[str, Any]], limit: int
) -> None:
    analyst, writers = Analyst(reader), Writers(reader.db, len(ALL_RUNS))
    ALL_RUNS.append(0)
    try:
        for who, what in steps:
            if who == "read":
                analyst.read(what)
            else:
                writers.write(who, what)
    finally:
        writers.close()
    analyst.catch_up(limit)
    assert held(analyst) == there(reader)
    before = analyst.cursor
    assert analyst.read() == []
    assert analyst.cursor == before


ALL_RUNS: list[int] = []


def test_no_cursor_passes_an_open_transaction(reader: Reader) -> None:
    if reader.db.dialect == "sqlite":
        return  # has one writer at a time
    analyst = Analyst(reader)
    with reader.db.write() as conn:
        make(conn, "before")
    with reader.db.engine.connect() as slow, slow.begin():
        make(slow, "slow")
        with reader.db.write() as conn:
            make(conn, "later")
        analyst.catch_up()
        assert held(analyst) == {"before": "t"}
    analyst.catch_up()
    assert list(held(analyst)) == ["before", "slow", "later"]


def test_rows_that_change_while_a_page_is_read_come_later(reader: Reader) -> None:
    """Each chunk is a transaction of its own, and none is open in between: a writer is never kept waiting."""
    with reader.db.write() as conn:
        make(conn, *(f"t{n}" for n in range(3 * CHUNK)))
    *_, of_tasks = exports.exports(Times(reader.db, ManualClock(NOW), log_clock=False))
    page = Page(reader.db, of_tasks, None, 10_000)
    rows = iter(page)
    first = [next(rows).id for _ in range(CHUNK)]
    with reader.db.write() as conn:
        rename(conn, f"t{CHUNK + 1}", "new")
        rename(conn, "t0", "new")
        conn.execute(delete(tasks).where(tasks.c.id == f"t{CHUNK + 2}"))
    rest = [one.id for one in rows]
    assert first + rest == [f"t{n}" for n in range(3 * CHUNK) if n not in {CHUNK + 1, CHUNK + 2}]
    analyst = Analyst(reader)
    analyst.cursor = page.next_cursor
    again = {(one["id"], one["title"]) for one in analyst.read()}
    assert again == {(f"t{CHUNK + 1}", "new"), ("t0", "new")}


def test_a_large_answer_takes_little_memory(reader: Reader) -> None:
    large = {**PLAIN, "account": "acme", "body": "x" * 20_000}
    with reader.db.write() as conn:
        conn.execute(insert(tasks), [{**large, "id": f"t{n}"} for n in range(2_000)])
    *_, of_tasks = exports.exports(Times(reader.db, ManualClock(NOW), log_clock=False))
    tracemalloc.start()
    try:
        sent = sum(map(len, body(Page(reader.db, of_tasks, None, 10_000), "ndjson", ())))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent > 40_000_000
    assert peak < 25_000_000  # a chunk as rows, as items and as lines


# -- what comes again


def test_only_what_readers_see_is_a_change(reader: Reader) -> None:
    analyst = Analyst(reader)
    with reader.db.write() as conn:
        make(conn, "a", "b")
    assert len(analyst.read()) == 2
    with reader.db.write() as conn:
        rename(conn, "a", "t")  # the same as before
        conn.execute(update(tasks).values(over_at=5))
    assert analyst.read() == []
    with reader.db.write() as conn:
        rename(conn, "a", "new")
    assert [one["title"] for one in analyst.read()] == ["new"]


def test_a_snoozed_task_comes_again_when_its_time_has_come(reader: Reader) -> None:
    analyst = Analyst(reader)
    with reader.db.write() as conn:
        make(conn, "a", "b")
        set_task(conn, "a", "snoozed", snoozed_until=NOW + 5)
    assert {one["id"]: one["status"] for one in analyst.read()} == {"a": "snoozed", "b": "open"}
    wake(reader.db, lambda _: NOW + 4)
    assert analyst.read() == []
    wake(reader.db, lambda _: NOW + 5)
    assert [(one["id"], one["status"], one["snoozed_until"]) for one in analyst.read()] == [
        ("a", "open", None)
    ]


def test_rows_that_leave_by_age_are_not_deleted_at_the_reader(reader: Reader) -> None:
    analyst = Analyst(reader)
    with reader.db.write() as conn:
        make(conn, "a", account="acme")
        make(conn, "b", account="globex")
    analyst.read()
    with reader.db.write() as conn:
        conn.execute(delete(tasks).where(tasks.c.id == "a"))  # as retention does
        erase(conn, ToErase("globex", None, []), NOW)
    assert [one["id"] for one in analyst.read()] == ["b"]
    assert list(analyst.copy) == ["a"]
    assert Analyst(reader).read() == []  # who begins anew never had it


# -- cursors that nobody can go on from


def test_refused_cursors(reader: Reader) -> None:
    analyst = Analyst(reader)
    with reader.db.write() as conn:
        make(conn, "a", account="acme")
        make(conn, "b", account="globex")
    analyst.read(1)
    old = analyst.cursor
    assert old is not None
    ask = reader.client.get
    for odd in ("x", "W10", old[:-2], old + "x"):
        assert ask(TASKS, params={"cursor": odd}).json()["errors"][0]["field"] == "cursor"
    assert ask("/v1/export/plays", params={"cursor": old}).status_code == 422
    for wrong in ({"limit": 0}, {"limit": 100_001}, {"format": "xml"}, {"after": "x"}):
        assert ask(TASKS, params=wrong).status_code == 422, wrong

    with reader.db.write() as conn:
        erase(conn, ToErase("globex", None, []), NOW)
    erased.forget(reader.db, export_erased, NOW, 100)  # meets it
    erased.forget(reader.db, export_erased, NOW + 100, 100)
    assert ask(TASKS, params={"cursor": old}).status_code == 200
    erased.forget(reader.db, export_erased, NOW + 101, 100)
    told = ask(TASKS, params={"cursor": old})
    assert told.status_code == 422
    assert "Read anew" in told.json()["errors"][0]["message"]
    analyst.cursor = None
    analyst.read(1)
    assert analyst.read() == []  # who began after it needs nothing of it


def test_a_cursor_from_before_a_backup_was_restored(reader: Reader) -> None:
    with reader.db.write() as conn:
        make(conn, "a")
    answer = reader.client.get(TASKS)
    with reader.db.write() as conn:
        if reader.db.dialect == "sqlite":
            conn.execute(text("UPDATE actions_stamps SET last = 0"))
        else:
            stamps.make_functions(conn, "actions", -1_000_000)
    assert reader.client.get(TASKS, params={"cursor": answer.headers["next-cursor"]}).status_code == 422


def test_tables_that_came_from_another_server(reader: Reader) -> None:
    """Its transactions had greater numbers: after `touchline migrate` the stamps go on behind those that are there."""
    analyst = Analyst(reader)
    with reader.db.write() as conn:
        if reader.db.dialect == "postgresql":
            stamps.make_functions(conn, "actions", 1_000_000)
        make(conn, "old")
        if reader.db.dialect == "postgresql":
            stamps.make_functions(conn, "actions", 0)
    if reader.db.dialect == "postgresql":
        with pytest.raises(ConfigurationError, match="touchline migrate"):
            stamps.check(reader.db, "actions")
    migrate(reader.db, "actions")
    stamps.check(reader.db, "actions")
    analyst.catch_up()
    with reader.db.write() as conn:
        make(conn, "new")
    analyst.catch_up()
    assert list(analyst.copy) == ["old", "new"]


# -- forms

HOSTILE = [
    "=1+1",
    "+49 30",
    "-1",
    "@x",
    'say "no", please',
    "two\nlines\r\n",
    "",
    " x ",
    "ü,;\t",
    "0012",
    "null",
]


def test_csv_says_what_the_lines_say(reader: Reader) -> None:
    begun = {"cursor": reader.client.get(TASKS).headers["next-cursor"]}
    with reader.db.write() as conn:
        for n, title in enumerate(HOSTILE):
            conn.execute(
                insert(tasks).values(
                    {**PLAIN, "id": f"t{n}", "account": "acme", "title": title, "body": title or None}
                )
            )
        make(conn, "gone", account="globex")
    with reader.db.write() as conn:
        erase(conn, ToErase("globex", None, []), NOW)
    lines = [json.loads(line) for line in reader.client.get(TASKS, params=begun).text.splitlines()]
    answer = reader.client.get(TASKS, params={**begun, "format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    found = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [one["title"] for one in found] == [*HOSTILE, ""]
    assert [one["deleted"] for one in found] == ["false"] * len(HOSTILE) + ["true"]
    assert list(found[0]) == ["cursor", "deleted", *(name for name in lines[0] if name != "cursor")]
    for line, row in zip(lines, found, strict=True):
        line.setdefault("deleted", False)
        said = {name: value if isinstance(value, str) else json.dumps(value) for name, value in line.items()}
        assert {name: value for name, value in row.items() if value} == {
            name: value for name, value in said.items() if value not in {"null", ""} or line[name] == "null"
        }
    assert answer.text.count(',"",') == 1  # the empty text; null is nothing at all
    assert answer.headers["next-cursor"] == lines[-1]["cursor"]
    empty = reader.client.get("/v1/export/plays", params={"format": "csv"}).text
    assert empty.startswith("cursor,deleted,id,playbook,")
    assert empty.count("\r\n") == 1


# -- yesterday's data


def test_rows_from_before_the_migration_come_first(db: Database, tmp_path: Path) -> None:
    migrated(db, ["backbone"])
    migrate(db, "actions", "a040")
    with db.write() as conn:
        columns = [*PLAIN, "id", "account"]
        old = insert(tasks).values(dict.fromkeys(columns))
        conn.execute(old, [{**PLAIN, "id": f"t{n}", "account": "acme"} for n in range(3)])
    migrate(db, "actions")
    reader = Reader(db, tmp_path / "log", exports.router(db, Times(db, ManualClock(NOW), log_clock=False)))
    analyst = Analyst(reader)
    analyst.read(2)
    with db.write() as conn:
        rename(conn, "t0", "new")
        make(conn, "t3")
    analyst.catch_up(1)
    assert list(analyst.copy) == ["t0", "t1", "t2", "t3"]
    assert held(analyst) == there(reader)
    reader.close()


def test_a_lease_changes_nothing(reader: Reader) -> None:
    """What delivery does between two attempts is no change of an action; that it waits for another look is."""
    row = {
        "id": "a", "partition": 0, "play": "p", "playbook": "p", "account": "acme", "channel": "email", "step": "0",
        "topic": "t", "status": "pending", "created_at": NOW, "due_at": NOW, "next_attempt_at": NOW,
    }  # fmt: skip
    with reader.db.write() as conn:
        conn.execute(insert(actions), [row])
    ask = reader.client.get
    first = ask("/v1/export/actions")
    assert len(first.text.splitlines()) == 1
    with reader.db.write() as conn:
        conn.execute(update(actions).values(lease_owner="x", lease_until=NOW, next_attempt_at=NOW + 1))
    cursor = {"cursor": first.headers["next-cursor"]}
    assert ask("/v1/export/actions", params=cursor).text == ""
    with reader.db.write() as conn:
        conn.execute(update(actions).values(status="retrying"))
    assert len(ask("/v1/export/actions", params=cursor).text.splitlines()) == 1
