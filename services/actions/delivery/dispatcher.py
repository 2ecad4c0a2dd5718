"""Leases due actions, sends them through their channels, and records how attempts begin and end.

It has one event loop, in one thread. An action is leased → prepared (`prepare`: the message is built, the connection
is open) → begun, by a commit whose transaction also looks at the suppressions → sent (`send`) → its end is written
to the journal → and committed. To a quick endpoint it begins with its lease (see `begun_ahead`). An attempt that a
crash leaves begun and not ended is `interrupted`. An idempotent channel sends the action again under the same id. In
any other channel it ends as `uncertain`, unless the journal shows that its effect had not begun.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from functools import partial

import uvloop

from backbone import telemetry
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import DatabaseUnavailable
from backbone.failpoint import hit
from backbone.settings import Settings
from services.actions.channels.base import Channel, ChannelContext, ChannelTrouble, Target
from services.actions.channels.senders import SENDERS, Sender
from services.actions.delivery.attempt_writer import AttemptEnd, AttemptWriter, BatchResult
from services.actions.delivery.begun_ahead import Begun, BegunAhead
from services.actions.delivery.channel_calls import prepared, sent
from services.actions.delivery.fair_share import FairShare, KeyLimit, UnderWay
from services.actions.delivery.group_commit import AttemptGroupCommit, Later
from services.actions.delivery.journal import Journal
from services.actions.delivery.lease_book import MIN_FREE, Key, LeaseBook, Room
from services.actions.delivery.recovery import take_over
from services.actions.delivery.silent_endpoints import SilentEndpoints
from services.actions.metrics import show_mail_server
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.storage import leases
from services.actions.storage.due import Wanted
from services.actions.storage.leases import LEASE_US
from services.actions.storage.suppressions import Hasher

FOLDER = "delivery"  # in the data folder; holds the journals of this machine's processes
STALL_S = 0.25  # after this time without capacity, some of the waiting actions are put back
IDLE_S = 5.0  # longest wait for a wake-up
MAINTAIN_S = LEASE_US / 4_000_000  # between extensions of leases, and between looks for dead processes
GRACE_S = 10.0  # for sends that are under way when the service stops

log_ = telemetry.get_logger("touchline.delivery")


class Dispatcher:
    """The delivery loop, in a thread of its own.

    `on_events` is called, from that loop or from the thread that writes, after a commit that put events into the
    outbox. `alone`: no other process works on this database, so the leases of earlier ones end at once.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        clock: Clock,
        hasher: Hasher,
        partitions: int,
        on_events: Callable[[], None],
        *,
        alone: bool,
        channels: Mapping[str, Sender] = SENDERS,
        on_health: Callable[[ChannelTrouble | None], None] = show_mail_server,
    ) -> None:
        self._db, self._clock, self._alone = db, clock, alone
        self._context = ChannelContext(settings, self._endpoint, self._before_effect, clock.now, on_health)
        self._folder = settings.data_dir / FOLDER
        self._senders = channels
        owner = f"delivery-{secrets.token_hex(8)}"
        self._recorder = AttemptWriter(owner, hasher, partitions, log_clock=settings.clock == "log")
        self._on_events = on_events
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken: asyncio.Event | None = None
        self._soon = True  # whether what is leased next may find a free place
        self._capacity = asyncio.Event()
        self._stopping = False
        self._channels: dict[str, Channel] = {}
        self._channel_limits: dict[str, FairShare] = {}
        self._book = LeaseBook()
        self._tasks: dict[str, asyncio.Task[None]] = {}  # of the leased actions whose end is not known yet
        self._ahead: BegunAhead
        self.silent = SilentEndpoints(clock.now)
        self._journal: Journal | None = None
        self._commits: AttemptGroupCommit | None = None
        self._thread = threading.Thread(target=self._run, name="actions-delivery", daemon=True)
        self.failure: BaseException | None = None

    # -- life, from other threads

    def start(self) -> None:
        """Begin to work in a new thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look for due actions now."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._look, True)

    def _look(self, soon: bool) -> None:
        self._soon |= soon
        if self._woken is not None:
            self._woken.set()

    def stop(self) -> None:
        """Finish the sends under way as far as they are quick; returns when the thread has ended."""
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join(GRACE_S + 20)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def troubles(self) -> dict[str, ChannelTrouble]:
        """The troubles that keep channels of this process from sending anything, by channel."""
        found = {name: channel.trouble for name, channel in self._channels.items()}
        return {name: trouble for name, trouble in found.items() if trouble is not None}

    def _before_effect(self, action: str) -> None:
        if self._journal is not None:
            self._journal.before_effect(action)

    def _endpoint(self, name: str) -> Target | None:
        return None if self._commits is None else self._commits.targets.get(name)

    # -- the loop

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except Exception as error:
            self.failure = error
            log_.exception("the delivery loop stopped")

    async def _main(self) -> None:
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        self._channels = {name: sender(self._context) for name, sender in self._senders.items()}
        self._channel_limits = {name: FairShare(one.concurrency) for name, one in self._channels.items()}
        self._journal = journal = Journal(self._folder, self._recorder.owner)
        self._commits = commits = AttemptGroupCommit(
            self._db, self._clock, self._recorder, journal, self._on_events, self._on_ends_committed,
            lambda: self._book.under_way, self.wake,
        )  # fmt: skip
        self._ahead = BegunAhead(partial(self._deliver, commits), self._tasks, self._dropped)
        await self._recover(commits)
        helpers = [asyncio.create_task(commits.run()), asyncio.create_task(self._maintain(commits, journal))]
        try:
            await self._lease_loop(commits, helpers)
            await self._drain()
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await asyncio.to_thread(commits.close)
            journal.close()
            for channel in self._channels.values():
                await channel.close()

    async def _recover(self, commits: AttemptGroupCommit) -> None:
        """Take over the actions that dead processes had leased."""
        while not self._stopping:
            try:
                await commits.apart(lambda: self._take_over(commits))
                if self._alone:
                    await commits.apart(self._release)
            except DatabaseUnavailable:
                await asyncio.sleep(1)
            else:
                break

    def _take_over(self, commits: AttemptGroupCommit) -> bool:
        return take_over(self._folder, self._db, self._clock, self._recorder, commits.tell)

    def _release(self) -> None:
        with self._db.write() as conn:
            leases.release_all(conn)

    async def _lease_loop(self, commits: AttemptGroupCommit, helpers: list[asyncio.Task[None]]) -> None:
        """Lease while there is capacity and an action due; else wait for whichever is missing."""
        woken = self._woken
        assert woken is not None  # noqa: S101  set by _main
        while not self._stopping:
            for helper in helpers:
                if helper.done():
                    helper.result()  # raises what ended it
            woken.clear()
            if self._book.free < MIN_FREE:
                await self._wait_for_capacity(commits)
                continue
            soon, self._soon = self._soon, False
            room, written = await self._lease(commits, soon=soon)
            self._start_deliveries(commits, written)
            if len(written.leased) < room.total:
                held = self._book.held
                more = room.may_have_more(held[one.id] for one in written.leased if one.id in held)
                if more & self._book.room().of.keys():
                    continue  # its share has grown meanwhile
                # whoever has no room now wakes us when there is some
                try:
                    await asyncio.wait_for(woken.wait(), self._pause(written))
                except TimeoutError:
                    self._soon = True

    async def _lease(self, commits: AttemptGroupCommit, *, soon: bool) -> tuple[Room, BatchResult]:
        """Lease as much as there is room for when the commit begins."""
        rooms: list[Room] = []

        def wanted() -> Wanted:
            room = self._book.room()
            rooms.append(room)
            return Wanted(room.total, room.without, room.of, room.others, self._ahead.may_begin(room.quick))

        written = await commits.lease(wanted, soon=soon)
        return rooms[-1], written

    async def _wait_for_capacity(self, commits: AttemptGroupCommit) -> None:
        """Wait for capacity; if none comes, let go of actions, so that others get their turn."""
        self._soon = True
        self._capacity.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._capacity.wait(), STALL_S)
        if self._book.free >= MIN_FREE:
            return
        free = self._book.in_vain()
        surplus = [] if free else self._book.surplus()
        for one in (*free, *surplus):
            self._ahead.let_go(one)
        await asyncio.sleep(0)
        await commits.lease(None, surplus, free)

    def _pause(self, written: BatchResult) -> float:
        if written.next_due is None:
            return IDLE_S
        return min(IDLE_S, max(0.0, (written.next_due - self._clock.now()) / 1_000_000))

    def _start_deliveries(self, commits: AttemptGroupCommit, written: BatchResult) -> None:
        """Start to deliver the leased actions."""
        ahead: list[tuple[Key, Leased]] = []
        limits = self._book.limits
        for action in written.leased:
            channel = self._channels.get(action.channel)
            if channel is None or action.id in self._book.held:
                continue  # a channel of a newer version; or an action of ours whose lease ran out meanwhile
            key = (action.channel, channel.concurrency_key(action))
            if key not in limits:
                heard = partial(self.silent.note, key[1])
                limits[key] = KeyLimit(channel.per_key, independent=channel.independent, on_silence=heard)
            self._book.enter(action.id, key)
            if action.id in written.begun:
                ahead.append((key, action))
            else:
                self._tasks[action.id] = asyncio.create_task(self._deliver(commits, key, action))
        self._ahead.add(ahead, written)
        for key in {key for key, _ in ahead}:
            places = self._channels[key[0]].places(key[1])
            limits[key].allow(places)
            self._ahead.send(key, places)

    def _dropped(self, action: str) -> None:
        """An action was not sent; anybody may lease it."""
        if self._ahead.left(action) and self._commits is not None:
            self._commits.give_back(action)
        self._forget(action)

    async def _deliver(self, commits: AttemptGroupCommit, key: Key, action: Leased) -> None:
        channel = self._channels[key[0]]
        on_slow = partial(self._is_slow, action.id) if channel.independent else None
        place = UnderWay(self._book.limits[key], self._channel_limits[action.channel], on_slow)
        ended: tuple[int, Outcome] | None = None
        try:
            if action.interrupted and not channel.idempotent:
                ended = 0, Outcome(kind="uncertain", reason="maybe_delivered")
                return
            ended = await self._in_turn(commits, channel, action, place)
        except Exception:  # one action must not stop its neighbours
            log_.exception("an action was left for later", action=action.id)
        finally:
            # The place is free for the next one, whose beginning goes into the same commit as this one's end.
            del self._tasks[action.id]
            if ended is None:
                self._dropped(action.id)
            else:
                commits.end(action, *ended)
                if self._book.over(action.id):
                    self._look(soon=False)

    async def _in_turn(
        self, commits: AttemptGroupCommit, channel: Channel, action: Leased, place: UnderWay
    ) -> tuple[int, Outcome] | None:
        """Make an attempt when there is a place for it, and its endpoint's rate lets it begin."""
        key = self._book.held[action.id]
        while True:
            await place.enter()
            answered = False
            try:
                self._book.waiting.pop(action.id, None)
                ended = await self._run_attempt(commits, channel, action, place)
                if not isinstance(ended, Later):
                    answered = ended is not None and ended[1].answered
                    return ended
                self._book.waiting[action.id] = key
                self._book.slow.discard(action.id)
                self._book.limits[key].pause((ended.at - self._clock.now()) / 1_000_000)
            finally:
                place.leave(answered=answered)

    def _on_ends_committed(self, ends: Sequence[AttemptEnd], refused: Container[str]) -> None:
        """These ends are durable, except those of the `refused` actions."""
        assert self._journal is not None  # noqa: S101  set by _main
        self._journal.settled(end.action.id for end in ends if end.action.id not in refused)
        for end in ends:
            self._forget(end.action.id)
            hit("delivery.after_commit")

    def _forget(self, action: str) -> None:
        if self._book.leave(action):
            self._look(soon=False)
        self._signal_capacity()

    def _is_slow(self, action: str) -> bool:
        """Whether an action that has been under way for long counts no more, in the lease book and in its channel."""
        slow = self._book.turned_slow(action)
        self._signal_capacity()
        return slow

    def _signal_capacity(self) -> None:
        if self._book.free >= MIN_FREE:
            self._capacity.set()

    async def _run_attempt(
        self, commits: AttemptGroupCommit, channel: Channel, action: Leased, place: UnderWay
    ) -> tuple[int, Outcome] | Later | None:
        """Make an attempt; returns its number and how it ended, or None if none was begun."""
        begun: Begun | Later | None = None
        if self._ahead.waits(action.id):
            begun = self._ahead.take(action.id)
            if begun is None:
                return None
        elif self._stopping:
            return None  # the lease ends at `close`
        ready = await prepared(channel, action)
        if begun is None:
            if isinstance(ready, Outcome) and ready.kind == "skipped":
                return 0, ready
            begun = await commits.begin(action)
        if begun is None or isinstance(begun, Later):
            if not isinstance(ready, Outcome):
                await ready.drop()
            return begun
        if isinstance(ready, Outcome):
            return begun.n, ready
        key = self._book.held[action.id]
        self._book.limits[key].allow(channel.places(key[1]))
        hit("delivery.after_begin_before_wire")
        place.sends()
        if not (channel.idempotent or channel.marks_effect):
            self._before_effect(action.id)
        outcome = await sent(ready, channel, begun.at)
        hit("delivery.after_wire_before_note")
        if self._journal is not None:
            self._journal.ended(action.id, outcome)
        hit("delivery.after_wire_before_commit")
        return begun.n, outcome

    async def _maintain(self, commits: AttemptGroupCommit, journal: Journal) -> None:
        """Extend the leases of actions that take long, and take over from processes that died meanwhile."""
        while True:
            await asyncio.sleep(MAINTAIN_S)
            if self._book.held:
                commits.extend(list(self._book.held))
            journal.tidy()
            with suppress(DatabaseUnavailable):
                if await commits.apart(lambda: self._take_over(commits)):
                    self.wake()

    async def _drain(self) -> None:
        """Give the sends under way time to end; those that have not ended by then count as interrupted."""
        deadline = asyncio.get_running_loop().time() + GRACE_S
        while self._book.held and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait(self._tasks.values(), timeout=GRACE_S) if self._tasks else await asyncio.sleep(
                0.01
            )
        self._ahead.stop()
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
