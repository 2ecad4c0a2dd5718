"""Lets a request wait until the directory has followed what the request put onto the log."""

import asyncio
from collections.abc import Callable, Iterable

from sqlalchemy import select

from backbone.database import Database
from backbone.log.records import Place
from services.ingest.tables import partitions
from services.ingest.thread_pools import at_the_door

PATIENCE_S = 5.0  # a request is answered then all the same: its events are durable
LOOK_S = 0.05  # how often the table is read, for partitions that other processes have


class DirectoryProgress:
    """Belongs to the event loop, but for `advanced`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.hurry: Callable[[], None] = lambda: None  # tells this process's worker that a request waits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._read: dict[int, int] = {}  # partition to the offset that is read next, as far as is known here
        self._changed = asyncio.Event()

    def advanced(self, offsets: dict[int, int]) -> None:
        """This process has saved its progress. From any thread."""
        self._read |= offsets
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._tell)

    async def followed(self, places: Iterable[Place]) -> bool:
        """Wait for the directory to pass these places. False: it took longer than `PATIENCE_S`."""
        ends: dict[int, int] = {}
        for partition, offset in places:
            ends[partition] = max(offset + 1, ends.get(partition, 0))
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._changed = loop, asyncio.Event()
        give_up = loop.time() + PATIENCE_S
        self.hurry()
        while not self._passed(ends):
            if loop.time() > give_up:
                return False
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), LOOK_S)
            except TimeoutError:
                self._read |= await at_the_door(self._look)
        return True

    def _passed(self, ends: dict[int, int]) -> bool:
        return all(self._read.get(partition, 0) >= end for partition, end in ends.items())

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _look(self) -> dict[int, int]:
        with self._db.read() as connection:
            rows = connection.execute(select(partitions.c.partition, partitions.c.next_offset))
            return {row.partition: row.next_offset for row in rows}
