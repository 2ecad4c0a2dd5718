"""The breaker with several workers on one PostgreSQL: what all of them begin together never passes the limit."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier

import pytest
from sqlalchemy import Connection, select

from backbone.database import Database
from backbone.ownership import Fenced
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

pytestmark = pytest.mark.postgres
BOOK = Key("playbook", "book")
WITHIN, LIMIT, WORKERS, EACH = 10, 7, 4, 12


@pytest.fixture(scope="module")
def db(new_database: Callable[[], str]) -> Iterator[Database]:
    made = Database(new_database().replace("postgresql://", "postgresql+psycopg://"), pool_size=WORKERS * 2)
    migrated(made)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _empty(db: Database) -> None:
    with db.write() as conn:
        empty_tables(conn)


class Batch:
    """One batch of a worker: read in one transaction, written in another, as the worker does."""

    def __init__(self, db: Database, worker: int, moments: list[tuple[int, int]]) -> None:
        self._db, self._worker = db, worker
        self._reading: list[Connection] = []
        self.holds = BatchHolds(db, lambda: self._reading[-1])
        self.store = PlayStore(worker, WORKERS, lambda: self._reading[-1], self.holds)
        library = MemoryLibrary([book(limit={"plays": LIMIT, "within": f"{WITHIN}s"})])
        machine = Interpreter(self.store, library, worker, holds=self.holds)
        with db.read() as conn:
            self._reading.append(conn)
            for number, at in moments:
                machine.start(trigger(at, key=f"{worker}.{number}"), at)
            self.store.render(PlainRenderer(), lambda: None)

    def commit(self) -> None:
        with self._db.write() as conn:
            self.holds.verify(conn, T0)
            self.store.flush(conn, 0)


def found(db: Database) -> dict[str, list[int]]:
    plays = tables.plays
    with db.read() as conn:
        rows = conn.execute(select(plays.c.status, plays.c.started_at).order_by(plays.c.seq)).all()
        paused = holds.row_of(conn, BOOK).hold.paused
    began = {name: [at for status, at in rows if status == name] for name in ("finished", "held")}
    assert (paused is not None) == bool(began["held"])
    return began


def test_who_read_before_another_committed_counts_again(db: Database) -> None:
    """Each had room for all of its own when it looked."""
    first, second = (Batch(db, n, [(k, T0) for k in range(4)]) for n in range(2))
    first.commit()
    with pytest.raises(Fenced, match="other workers began plays"):
        second.commit()
    assert found(db) == {"finished": [T0] * 4, "held": []}
    Batch(db, 1, [(k, T0) for k in range(4)]).commit()
    assert found(db) == {"finished": [T0] * LIMIT, "held": [T0]}


def test_who_read_before_another_paused_begins_nothing(db: Database) -> None:
    late = Batch(db, 1, [(0, T0)])
    Batch(db, 0, [(k, T0) for k in range(LIMIT + 1)]).commit()
    with pytest.raises(Fenced, match="paused or resumed meanwhile"):
        late.commit()
    assert found(db) == {"finished": [T0] * LIMIT, "held": [T0]}


def test_where_there_is_room_nobody_has_to_go_again(db: Database) -> None:
    """Far enough apart in time, or few enough."""
    batches = [Batch(db, n, [(k, T0 + n * WITHIN * SECOND) for k in range(LIMIT)]) for n in range(WORKERS)]
    for batch in batches:
        batch.commit()
    assert len(found(db)["finished"]) == LIMIT * WORKERS


@pytest.mark.parametrize("seed", range(6))
def test_all_at_once(db: Database, seed: int) -> None:
    """As many begin as the limit allows and no more, whoever gets in first; nothing is lost, nothing begins twice."""
    gate = Barrier(WORKERS, timeout=60)

    def work(worker: int) -> None:
        chance = Random(seed * WORKERS + worker)
        moments = list(enumerate(sorted(T0 + chance.randrange(WITHIN) * SECOND for _ in range(EACH))))
        first = True
        while moments:
            size = chance.randint(1, 4)
            batch = Batch(db, worker, moments[:size])
            if first:
                first = gate.wait() < 0
            try:
                batch.commit()
            except Fenced:
                continue
            del moments[:size]

    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(work, n) for n in range(WORKERS)]:
            done.result(60)
    began = found(db)
    assert len(began["finished"]) == LIMIT, "all moments lie within one limit's time"
    assert len(began["held"]) == WORKERS * EACH - LIMIT
    with db.read() as conn:
        assert len(set(conn.scalars(select(tables.plays.c.id)))) == WORKERS * EACH
