"""Group commit: everything that waits while one transaction is written goes into the next one, together."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import msgspec
from sqlalchemy import Connection

from backbone.clock import Clock, counted
from backbone.database import Database
from backbone.errors import DatabaseUnavailable
from backbone.telemetry import get_logger
from services.actions.channels.base import Target
from services.actions.delivery import readable
from services.actions.delivery.attempt_writer import AttemptEnd, AttemptWriter, Batch, BatchResult
from services.actions.delivery.begun_ahead import FRESH_US, Begun
from services.actions.delivery.journal import Journal
from services.actions.metrics import ATTEMPTS, count_actions
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.storage.due import Wanted

GATHER_S = 0.001  # between looks at whether every action under way has something to write by now
GATHERINGS = 8  # most looks: a commit shall serve many actions, and an action alone shall not wait
PATIENCE_S = 0.02  # longest time over all looks
REACTIONS = 3  # turns of the loop until whoever was told of a commit has asked for the next one, and sends
PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)  # between tries while the database is away

Answer = TypeVar("Answer")
log_ = get_logger("touchline.delivery")


class Later(NamedTuple):
    """It is not the action's turn yet: ask again at this moment (microseconds)."""

    at: int


@dataclass(slots=True)
class _Round:
    """The contents of one transaction, and the futures that wait for it."""

    batch: Batch = field(default_factory=Batch)
    begins: dict[str, asyncio.Future[Begun | Later | None]] = field(default_factory=dict)
    leases: list[asyncio.Future[BatchResult]] = field(default_factory=list)
    wanted: Callable[[], Wanted] | None = None
    awaited: bool = False  # whether a send waits for it

    def tell(self, written: BatchResult) -> None:
        """The transaction is durable: answer those who wait."""
        for action in self.batch.begins:
            if not self.begins[action.id].done():
                self.begins[action.id].set_result(_answer(action, written))
        for lease in self.leases:
            if not lease.done():
                lease.set_result(written)


def _answer(action: Leased, written: BatchResult) -> Begun | Later | None:
    n, later = written.begun.get(action.id), written.later.get(action.id)
    if n is None:
        return None if later is None else Later(later)
    return Begun.of(action, n, written.begun_at.get(action.id, written.at))


class AttemptGroupCommit:
    """The group commit of attempts. Belongs to one event loop.

    `on_events` is called after a commit that put events into the outbox, `on_woken` after one that made waiting mails
    due, or gave back what had begun. `on_ended` is called with the ends that have been dealt with, and with the actions
    among them whose ends the database refused. `under_way` says how many actions are between their preparation and
    their end.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        recorder: AttemptWriter,
        journal: Journal,
        on_events: Callable[[], None],
        on_ended: Callable[[Sequence[AttemptEnd], Container[str]], None],
        under_way: Callable[[], int],
        on_woken: Callable[[], None],
    ) -> None:
        self._db, self._clock, self._recorder, self._journal = db, clock, recorder, journal
        self._on_events, self._on_ended, self._under_way = on_events, on_ended, under_way
        self._on_woken = on_woken
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="actions-delivery-commits")
        self.targets: dict[str, Target | None] = {}  # endpoints, as they were when the newest attempt began
        self._next = _Round()
        self._arrived = asyncio.Event()

    async def begin(self, action: Leased) -> Begun | Later | None:
        """Begin an attempt; returns it once that is durable, or None if the action must not be sent."""
        future: asyncio.Future[Begun | Later | None] = asyncio.get_running_loop().create_future()
        self._next.batch.begins.append(action)
        self._next.awaited = True
        self._next.begins[action.id] = future
        self._arrived.set()
        return await future

    def end(self, action: Leased, n: int, outcome: Outcome) -> None:
        """Note how attempt `n` ended (0: none was begun). `on_ended` is called once that is durable."""
        self._next.batch.ends.append(AttemptEnd(action, n, outcome))
        self._arrived.set()

    async def lease(
        self,
        wanted: Callable[[], Wanted] | None,
        put_back: Collection[str] = (),
        free: Collection[str] = (),
        *,
        soon: bool = True,
    ) -> BatchResult:
        """End some leases (see `Batch`), then lease due actions.

        `wanted` says which, and is asked when the commit begins. `soon`: some place may be free for them already.
        """
        future: asyncio.Future[BatchResult] = asyncio.get_running_loop().create_future()
        batch = self._next.batch
        self._next.wanted = wanted
        batch.put_back += put_back
        batch.free += free
        self._next.leases.append(future)
        self._next.awaited |= soon
        self._arrived.set()
        return await future

    def give_back(self, action: str) -> None:
        """Let anybody lease an action that has begun and was not sent."""
        self._next.batch.unsent.append(action)
        self._arrived.set()

    def extend(self, ids: list[str]) -> None:
        """Extend the leases of actions under way."""
        self._next.batch.extend = ids
        self._arrived.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self._gather()
            this, self._next = self._next, _Round()
            this.batch.lease = None if this.wanted is None else this.wanted()
            self._arrived.clear()
            written = await self._commit(this.batch)
            self.targets |= written.targets
            self._journal.settled(this.batch.unsent)
            self._journal.begun(written.begun.items())
            this.tell(written)
            if this.batch.ends:
                self._on_ended(this.batch.ends, written.refused)

    async def _gather(self) -> None:
        """Wait a little for other actions under way that may have something to write, as long as some do."""
        for _ in range(REACTIONS):
            await asyncio.sleep(0)
        loop, batch = asyncio.get_running_loop(), self._next.batch
        looks, until = 0, loop.time() + PATIENCE_S
        while loop.time() < until:
            come = len(batch.begins) + len(batch.ends)
            if self._under_way() <= come:
                return
            await asyncio.sleep(GATHER_S)
            looks += 1
            idle = len(batch.begins) + len(batch.ends) == come
            if self._next.awaited and (idle or looks > GATHERINGS):
                return

    async def _commit(self, batch: Batch) -> BatchResult:
        """Write a batch, however long the database is away. If it refuses the batch, write it piece by piece."""
        failures = 0
        while True:
            try:
                written = await self.apart(lambda: self._write(batch))
            except DatabaseUnavailable as error:
                log_.warning("what became of actions cannot be written now", error=error)
                await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1
            except Exception:
                log_.exception("the database refused what became of actions", actions=len(batch.ends))
                return await self._in_pieces(batch)
            else:
                break
        self.tell(written)
        for labels, count in Counter((end.action.channel, end.outcome.kind) for end in batch.ends).items():
            ATTEMPTS.labels(*labels).inc(count)
        return written

    async def apart(self, work: Callable[[], Answer]) -> Answer:
        """Run blocking work on the database, in the thread that writes."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _in_pieces(self, batch: Batch) -> BatchResult:
        """Write a batch piece by piece, so that a bad row costs only itself.

        The attempt of such a row stays begun, and is `interrupted` once its lease has run out. Its entries stay in
        the journal, for it may have had its effect. The lease comes last: what began with it has to be sent soon.
        """
        pieces = [Batch(ends=[end]) for end in batch.ends] + [Batch(begins=[begin]) for begin in batch.begins]
        if len(pieces) <= 1:
            await asyncio.sleep(PAUSES_S[1])  # the leasing itself may be what fails: no tight loop
            return BatchResult(refused={end.action.id for end in batch.ends})
        parts = [await self._commit(piece) for piece in pieces]
        whole = await self._commit(msgspec.structs.replace(batch, begins=[], ends=[]))
        for part in parts:
            whole.begun |= part.begun
            whole.begun_at |= dict.fromkeys(part.begun, part.at)
            whole.later |= part.later
            whole.targets = part.targets | whole.targets
            whole.refused |= part.refused
        return whole

    def tell(self, written: BatchResult) -> None:
        """Count the actions that ended, and have the events about them relayed."""
        count_actions(Counter(written.tally))
        if written.tally:
            self._on_events()
        if written.woken:
            self._on_woken()

    def _write(self, batch: Batch) -> BatchResult:
        fresh_until = counted() + FRESH_US
        written = self._readable(lambda conn: self._recorder.write(conn, batch, self._clock.now()))
        written.fresh_until = fresh_until
        return written

    def _readable(self, work: Callable[[Connection], Answer]) -> Answer:
        return readable.written(self._db, self._clock, self._recorder, self.tell, work)

    def close(self) -> None:
        """End the leases of actions that were not begun or not sent, and the thread. Blocking."""
        try:
            unsent = self._next.batch.unsent
            self._readable(lambda conn: self._recorder.let_go(conn, unsent, self._clock.now()))
        except DatabaseUnavailable as error:
            log_.warning("leases are left to run out", error=error)
        self._thread.shutdown()
