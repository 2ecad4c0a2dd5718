"""Attempts that began with their lease and wait for a place at their endpoint, so that no place waits for a commit.

They are sent soon or not at all: one that is older than `FRESH_US` is given back, and another attempt follows when it
may. Its attempt counts as never begun. So whoever says that nothing more may be sent (a pause, the sending switch) can
wait until they are gone.

Those of one endpoint are sent by as many *lanes* as it has places, tasks that each send one after the other.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import NamedTuple

from backbone.clock import Clock, counted
from backbone.database import Database
from services.actions.delivery.attempt_writer import BatchResult
from services.actions.delivery.lease_book import Key
from services.actions.plays.model import Leased
from services.actions.storage import holds

FRESH_US = 500_000  # from before the commit in which they began
SECOND_US = 1_000_000
SETTLE_S = 1.0  # longer than that, so that what is given back has been
LOOK_S = 0.02


class Begun(NamedTuple):
    """An attempt that has begun: its number, and when the action's first one began (microseconds)."""

    n: int
    at: int

    @classmethod
    def of(cls, action: Leased, n: int, at: int) -> "Begun":
        """Attempt `n`, which began at `at`."""
        return cls(n, at if action.begun_at is None else action.begun_at)


class _Waiting(NamedTuple):
    action: Leased
    begun: Begun
    fresh_until: int  # as `clock.counted` counts


class BegunAhead:
    """The attempts that have begun and wait for a place, and the lanes that send them. Belongs to one event loop.

    `deliver` sends an action and sees to its end. `tasks` are those that deliver, by action. `drop` is called with an
    action whose attempt has waited for too long before a lane took it up.
    """

    def __init__(
        self,
        deliver: Callable[[Key, Leased], Coroutine[None, None, None]],
        tasks: dict[str, asyncio.Task[None]],
        drop: Callable[[str], None],
    ) -> None:
        self._deliver, self._tasks, self._drop = deliver, tasks, drop
        self._waiting: dict[str, _Waiting] = {}
        # those that no lane has taken up
        self._queues: defaultdict[Key, deque[_Waiting]] = defaultdict(deque)
        self._lanes: defaultdict[Key, set[asyncio.Task[None]]] = defaultdict(set)
        self._places: dict[Key, int] = {}
        self._in_time = True  # whether what began with the newest lease could be sent

    def may_begin(self, keys: Collection[Key]) -> Collection[Key]:
        """Those of the keys whose actions may begin with their lease: none while commits take too long."""
        return keys if self._in_time else ()

    def add(self, actions: Sequence[tuple[Key, Leased]], written: BatchResult) -> None:
        """A lease is there: add those that began with it, each with its concurrency key."""
        self._in_time = counted() < written.fresh_until
        for key, one in actions:
            begun = Begun.of(one, written.begun[one.id], written.at)
            waiting = self._waiting[one.id] = _Waiting(one, begun, written.fresh_until)
            self._queues[key].append(waiting)
        if actions:
            left_s = (written.fresh_until - counted()) / SECOND_US
            ids = [one.id for _, one in actions]
            asyncio.get_running_loop().call_later(max(0.0, left_s), self._expire, ids, written.fresh_until)

    def send(self, key: Key, places: int) -> None:
        """See that each of a key's places has a lane, as far as something waits for one."""
        self._places[key] = places
        for _ in range(min(places - len(self._lanes[key]), len(self._queues[key]))):
            lane = asyncio.create_task(self._lane(key))
            self._lanes[key].add(lane)
            lane.add_done_callback(partial(self._ended, key))

    async def _lane(self, key: Key) -> None:
        """Send one after the other until nothing of the key is left."""
        lane = asyncio.current_task()
        assert lane is not None  # noqa: S101  this is a coroutine
        queue = self._queues[key]
        while queue:
            one = queue.popleft()
            if self._waiting.get(one.action.id) is one:  # else it was let go
                self._tasks[one.action.id] = lane
                await self._deliver(key, one.action)

    def _ended(self, key: Key, lane: asyncio.Task[None]) -> None:
        """A lane has ended; if it was cancelled with what it had in hand, another one goes on."""
        self._lanes[key].discard(lane)
        if self._queues[key]:
            self.send(key, self._places[key])
        elif not self._lanes[key]:
            del self._lanes[key], self._queues[key], self._places[key]

    def stop(self) -> None:
        """Take up nothing more."""
        for queue in self._queues.values():
            queue.clear()

    def waits(self, action: str) -> bool:
        """Whether an attempt at this action has begun and waits."""
        return action in self._waiting

    def take(self, action: str) -> Begun | None:
        """The attempt, which is about to be sent; None: too late."""
        one = self._waiting[action]
        if counted() > one.fresh_until:
            return None
        del self._waiting[action]
        return one.begun

    def left(self, action: str) -> bool:
        """Forget an action; returns whether an attempt at it has begun and was not sent."""
        return self._waiting.pop(action, None) is not None

    def let_go(self, action: str) -> None:
        """Give up an action that waits, whether it has begun or not."""
        task = self._tasks.get(action)
        if task is not None:
            task.cancel()
        else:
            self._drop(action)

    def _expire(self, actions: list[str], fresh_until: int) -> None:
        for one in actions:
            waiting = self._waiting.get(one)
            if waiting is not None and waiting.fresh_until <= fresh_until:  # else it has begun anew since
                self.let_go(one)


def settle(db: Database, clock: Clock, playbook: str) -> None:
    """Wait until no webhook of a playbook that is paused waits for its place, begun before the pause. Blocking.

    What is on the wire cannot be told from what waits, so this may take all of `SETTLE_S`; then nothing waits.
    """
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        with db.read() as conn:
            if not holds.begun(conn, playbook, clock.now()):
                return
        time.sleep(LOOK_S)
