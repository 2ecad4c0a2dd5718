"""Group commit: whatever waits while one transaction is on its way to the disk goes into the next,
together."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from backbone import telemetry
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import DatabaseUnavailable
from services.actions.delivery.record import Batch, End, Recorder, Written
from services.actions.metrics import count_actions
from services.actions.plays.delivery import Outcome
from services.actions.store import Leased

GATHER_S = 0.001  # between looks at whether all that is under way has something to write by now
GATHERINGS = 8  # looks at most: a commit serves many, and one action alone does not wait
PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)  # between tries while the database is away

log_ = telemetry.get_logger("touchline.delivery")


class Commits:
    """Belongs to one event loop. `on_events` is called after a commit that put events into the outbox;
    `under_way` says how many actions are between their preparation and their end."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        recorder: Recorder,
        on_events: Callable[[], None],
        under_way: Callable[[], int],
    ) -> None:
        self._db, self._clock, self._recorder, self._on_events = db, clock, recorder, on_events
        self._under_way = under_way
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="actions-delivery-commits")
        self._waiting = Batch(begins=[], ends=[], put_back=[])
        self._next: asyncio.Future[Written] | None = None
        self._arrived = asyncio.Event()

    async def begin(self, action: Leased) -> int | None:
        """The attempt's number, once its beginning is durable; None: it must not be sent."""
        self._waiting.begins.append(action)
        return (await self._written()).begun.get(action.id)

    async def end(self, action: Leased, n: int, outcome: Outcome) -> None:
        """Returns once it is durable how the attempt ended. `n` 0: none was begun."""
        self._waiting.ends.append(End(action, n, outcome))
        await self._written()

    async def lease(self, limit: int, put_back: list[str]) -> Written:
        """Up to `limit` due actions, after some that were leased before are put back."""
        self._waiting.lease = max(self._waiting.lease, limit)
        self._waiting.put_back += put_back
        return await self._written()

    async def _written(self) -> Written:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        self._arrived.set()
        return await asyncio.shield(self._next)

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self._gather()
            batch, future = self._waiting, self._next
            self._waiting, self._next = Batch(begins=[], ends=[], put_back=[]), None
            if future is None:
                continue
            written = await self._commit(batch)
            if not future.done():
                future.set_result(written)

    async def _gather(self) -> None:
        """Wait a little for others that are under way and may have something to write in a moment."""
        for _ in range(GATHERINGS):
            if self._under_way() <= len(self._waiting.begins) + len(self._waiting.ends):
                return
            await asyncio.sleep(GATHER_S)

    async def _commit(self, batch: Batch) -> Written:
        """Writes a batch, however long the database is away; one that it refuses is written piece by
        piece."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            try:
                written = await loop.run_in_executor(self._thread, self._write, batch)
            except DatabaseUnavailable as error:
                log_.warning("what became of actions cannot be written now", error=str(error))
                await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1
            except Exception:
                log_.exception("the database refused what became of actions", actions=len(batch.ends))
                return await self._apart(batch)
            else:
                break
        self._tell(batch, written)
        return written

    async def _apart(self, batch: Batch) -> Written:
        """One bad row costs itself alone: it stays begun, and is `interrupted` once its lease has run out."""
        pieces = [Batch(ends=[end]) for end in batch.ends] + [Batch(begins=[begin]) for begin in batch.begins]
        if len(pieces) <= 1:
            await asyncio.sleep(PAUSES_S[1])  # what is left may be the leasing itself: not in a tight loop
            return Written()
        whole = Written()
        for piece in [*pieces, Batch(put_back=batch.put_back, lease=batch.lease)]:
            part = await self._commit(piece)
            whole.begun |= part.begun
            whole.leased += part.leased
            whole.next_due = part.next_due
        return whole

    def _tell(self, batch: Batch, written: Written) -> None:
        count_actions(Counter(written.tally))
        for end in batch.ends:
            telemetry.ATTEMPTS.labels(end.action.channel, end.outcome.kind).inc()
        if written.tally:
            self._on_events()

    def _write(self, batch: Batch) -> Written:
        with self._db.write() as conn:
            return self._recorder.write(conn, batch, self._clock.now())

    async def extend(self, ids: list[str]) -> None:
        """Hold what is under way."""

        def work() -> None:
            with self._db.write() as conn:
                self._recorder.extend(conn, ids, self._clock.now())

        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except DatabaseUnavailable as error:
            log_.warning("leases could not be extended", error=str(error))

    def close(self) -> None:
        """Let go of leases and of the thread; blocking."""
        try:
            with self._db.write() as conn:
                self._recorder.let_go(conn)
        except DatabaseUnavailable as error:
            log_.warning("leases are left to run out", error=str(error))
        self._thread.shutdown()
