"""The store on the database against the one in memory: the same history, cut into batches anywhere, is the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from backbone.database import Database
from services.actions import tables
from services.actions.plays.in_memory import MemoryStore
from services.actions.plays.memory_library import MemoryLibrary
from services.actions.plays.merge import MergedOrder
from services.actions.plays.processor import PlaysPartition
from services.actions.storage.plays import PlayStore
from tests.migrated import migrated
from tests.services.actions.kit import PlainRenderer, empty_tables
from tests.unit.plays.kit import TEMPLATES
from tests.unit.plays.test_order import BOOKS, _offer, histories, outcome


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path_factory.mktemp('db') / 'plays.db'}")
    migrated(made, ["actions"])
    yield made
    made.close()


def feed(partition: PlaysPartition, history: Any) -> None:
    events, triggers = history
    for place, item in enumerate(events):
        _offer(partition, item, place)
    for place, item in enumerate(triggers):
        _offer(partition, item, place)


def in_memory(history: Any) -> Any:
    store = MemoryStore(PlainRenderer())
    partition = PlaysPartition(0, mode="log", store=store, library=MemoryLibrary(BOOKS, TEMPLATES))
    feed(partition, history)
    while partition.step():
        pass
    return outcome(store)


def on_database(db: Database, history: Any, cuts: list[int]) -> Any:
    """Batches of the given numbers of steps, each read, rendered and written as the worker does."""
    with db.write() as conn:
        empty_tables(conn)
        store = PlayStore(0, 2, lambda: conn)
        library, merge = MemoryLibrary(BOOKS, TEMPLATES), MergedOrder()
        partition = PlaysPartition(0, mode="log", store=store, library=library, merge=merge)
        feed(partition, history)
        for turn in range(10_000):
            size = cuts[turn % len(cuts)] if cuts else 3
            moved = sum(partition.step() for _ in range(size))
            store.render(PlainRenderer(), lambda: None)
            store.verify(conn)
            store.flush(conn, 0)
            store.end(committed=True)
            if not moved:
                break
        return stored(conn)


def stored(conn: Any) -> Any:
    p, a, t, o = tables.plays, tables.actions, tables.tasks, tables.outbox
    columns = (p.c.id, p.c.status, p.c.reason, p.c.step, p.c.started_at, p.c.ended_at, p.c.due_at)
    plays = sorted(map(tuple, conn.execute(select(*columns))))
    acts = [tuple(row) for row in conn.execute(select(a.c.id, a.c.step, a.c.due_at).order_by(a.c.seq))]
    tasks = [
        tuple(row) for row in conn.execute(select(t.c.id, t.c.play, t.c.status, t.c.reason).order_by(t.c.seq))
    ]
    return plays, acts, tasks, conn.scalar(select(o.c.seq).order_by(o.c.seq.desc()).limit(1)) is not None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.lists(st.integers(1, 9), max_size=8))
def test_the_database_remembers_what_memory_does(db: Database, history: Any, cuts: list[int]) -> None:
    plays, acts, tasks, told = in_memory(history)
    got_plays, got_acts, got_tasks, got_told = on_database(db, history, cuts)
    assert [str(row[0]) for row in got_plays] == [row.split("'")[1] for row in plays]
    assert [(one[0], one[1], one[4]) for one in acts] == got_acts
    assert tasks == got_tasks
    assert bool(told) == got_told
    assert got_plays == sorted(_play_rows(history))


def _play_rows(history: Any) -> list[Any]:
    store = MemoryStore(PlainRenderer())
    partition = PlaysPartition(0, mode="log", store=store, library=MemoryLibrary(BOOKS, TEMPLATES))
    feed(partition, history)
    while partition.step():
        pass
    return [
        (p.id, p.status, p.reason, p.step, p.started_at, p.ended_at, None if p.wait is None else p.wait.due)
        for p in store.plays.values()
    ]


def test_unused_memory_is_given_back(db: Database, tmp_path: Path) -> None:
    with db.read() as conn:
        store = PlayStore(0, 2, lambda: conn)
        store.preload(["nobody"], [b"0" * 16], ["ply_none"])
        assert store.play("ply_none") is None
        assert not store.dirty
        store.end(committed=True)
        assert store.next_wait(0) is None
