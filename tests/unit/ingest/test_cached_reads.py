"""What the door knows from the database: looked at now and then, never waited for for long."""

import asyncio
import threading

from backbone.errors import DatabaseUnavailable
from services.ingest.cached_reads import MAX_AGE_S, PATIENCE_S, CachedRead


class Source:
    """A number that is looked up: how often it was, and what a look does."""

    def __init__(self) -> None:
        self.value, self.looks, self.now = 1, 0, 0.0
        self.changing = False
        self.gate = threading.Event()
        self.gate.set()
        self.away = False

    def load(self, _: int) -> int:
        self.looks += 1
        self.gate.wait(10)
        if self.away:
            raise DatabaseUnavailable
        return self.value

    def fresh(self) -> CachedRead[int]:
        return CachedRead(self.load, 0, changing=lambda: self.changing, monotonic=lambda: self.now)


async def test_it_is_looked_up_at_most_so_often() -> None:
    source = Source()
    fresh = source.fresh()
    assert [await fresh.get() for _ in range(5)] == [1] * 5
    assert source.looks == 1
    source.value, source.now = 2, MAX_AGE_S
    assert await fresh.get() == 1
    source.now += 0.001
    assert await fresh.get() == 2
    assert source.looks == 2


async def test_while_it_is_being_changed_here_every_request_looks() -> None:
    source = Source()
    fresh = source.fresh()
    source.changing = True
    for value in (5, 6, 7):
        source.value = value
        assert await fresh.get() == value


async def test_while_the_database_is_away_what_was_known_holds() -> None:
    source = Source()
    fresh = source.fresh()
    assert await fresh.get() == 1
    source.away, source.now = True, 10.0
    assert await fresh.get() == 1
    source.away, source.value, source.now = False, 2, 20.0
    assert await fresh.get() == 2


async def test_a_look_that_hangs_holds_nobody_up() -> None:
    source = Source()
    fresh = source.fresh()
    source.gate.clear()
    assert await fresh.get() == 0  # after some patience
    source.now = PATIENCE_S + MAX_AGE_S + 1
    await asyncio.wait_for(asyncio.gather(*(fresh.get() for _ in range(100))), 10)
    assert source.looks == 1
    source.gate.set()
    while await fresh.get() == 0:
        await asyncio.sleep(0)
    assert await fresh.get() == 1


async def test_a_look_does_not_undo_what_was_put_meanwhile() -> None:
    source = Source()
    fresh = CachedRead(source.load, 0, newer=max, monotonic=lambda: source.now)
    source.gate.clear()
    asked = asyncio.create_task(fresh.get())
    while not source.looks:
        await asyncio.sleep(0)
    fresh.put(9)
    source.gate.set()
    assert await asked == 9
