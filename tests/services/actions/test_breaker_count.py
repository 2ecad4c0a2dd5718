"""The breaker against a slow oracle: whatever the batches, as many plays begin as the limit allows, and no more."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from backbone.database import Database
from services.actions import tables
from services.actions.plays.interpreter import Interpreter
from services.actions.plays.memory_library import MemoryLibrary
from services.actions.storage import holds
from services.actions.storage.batch_holds import BatchHolds
from services.actions.storage.holds import Key
from services.actions.storage.plays import PlayStore
from tests.migrated import migrated
from tests.services.actions.kit import PlainRenderer, empty_tables
from tests.unit.plays.kit import SECOND, T0, book, trigger

BOOK = Key("playbook", "book")
WITHIN = 10  # seconds
RESUME = -1
steps = st.lists(st.one_of(st.integers(0, 6), st.just(RESUME)), max_size=30)  # seconds later, or a resume


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path_factory.mktemp('db') / 'plays.db'}")
    migrated(made)
    yield made
    made.close()


def by_hand(history: list[int], limit: int) -> list[str]:
    """What becomes of each trigger, by going through all that began since the last resume."""
    now, began, paused, found = 0, [], False, []
    for step in history:
        if step == RESUME:
            began, paused = ([], False) if paused else (began, paused)
            continue
        now += step
        paused = paused or sum(now - WITHIN < at < now + WITHIN for at in began) >= limit
        found.append("held" if paused else "finished")
        if not paused:
            began.append(now)
    return found


def on_database(db: Database, history: list[int], limit: int, cuts: list[int]) -> list[str]:
    with db.write() as conn:
        empty_tables(conn)
    library = MemoryLibrary([book(limit={"plays": limit, "within": f"{WITHIN}s"})])
    now, number, place, turn = T0, 0, 0, 0
    while place < len(history):
        size, turn = cuts[turn % len(cuts)], turn + 1
        with db.write() as conn:
            if history[place] == RESUME:
                if holds.row_of(conn, BOOK).hold.paused is not None:
                    holds.resume(conn, BOOK, now)
                place += 1
                continue
            batch = BatchHolds(db, lambda conn=conn: conn)  # type: ignore[misc]
            store = PlayStore(0, 1, lambda conn=conn: conn, batch)  # type: ignore[misc]
            machine = Interpreter(store, library, holds=batch)
            while size and place < len(history) and history[place] != RESUME:
                now += history[place] * SECOND
                machine.start(trigger(now, key=str(number)), now)
                place, number, size = place + 1, number + 1, size - 1
            store.render(PlainRenderer(), lambda: None)
            batch.verify(conn, now)
            store.flush(conn, 0)
    with db.read() as conn:
        return list(conn.scalars(select(tables.plays.c.status).order_by(tables.plays.c.seq)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.integers(1, 5), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_the_breaker_lets_begin_what_the_limit_allows(
    db: Database, history: list[int], limit: int, cuts: list[int]
) -> None:
    assert on_database(db, history, limit, cuts) == by_hand(history, limit)
