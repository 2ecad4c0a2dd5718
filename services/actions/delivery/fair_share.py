"""Which actions may be under way at once: fair shares among concurrency keys, some of which may not answer.

A key stands for another machine (an endpoint, a domain). There is a limit for each key and one for each channel. Where
keys are `independent`, a machine that hangs must cost the others nothing. So it gets one place until it answers, and
an action under way for `SLOW_S` no longer takes a place of the channel, or counts as leased.
"""

import asyncio
from collections import deque
from collections.abc import Callable

SLOW_S = 0.25  # an action that has been under way this long no longer counts in its channel
QUIET_S = 5.0  # a key without an answer for this long is back at one place
MOST_SLOW = 600  # slow actions of one process that may be left out of the count; each holds a connection


class FairShare:
    """Places that are taken and given back: `await take()`, `give()`. First come, first served."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether the next one to come has to wait."""
        return self.taken >= self.limit

    async def take(self) -> None:
        """Wait for a place."""
        if not self.full:
            self.taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place was given just now
                self.give()
            raise

    def give(self) -> None:
        """Give a place back."""
        self.taken -= 1
        self.let_in()

    def let_in(self) -> None:
        """Give the free places to those who wait."""
        while self._queue and not self.full:
            turn = self._queue.popleft()
            if not turn.done():
                self.taken += 1
                turn.set_result(None)


class KeyLimit(FairShare):
    """The places of one concurrency key.

    An independent machine has a single place until it answers, and again after `QUIET_S` of silence. `on_silence` is
    told when it falls silent, and when it is heard again.
    """

    def __init__(
        self, most: int, *, independent: bool, on_silence: Callable[[bool], None] = lambda _: None
    ) -> None:
        super().__init__(1 if independent else most)
        self.most = most
        self.independent = independent
        self._answers = not independent
        self._heard_at = 0.0
        self._open_at = 0.0
        self._on_silence, self._silent = on_silence, False
        self.slow = 0  # actions under way that are slow

    @property
    def blocked(self) -> bool:
        """Whether an action that waits for a silent machine has taken its only place for a while."""
        return not self._answers and self.slow > 0

    @property
    def full(self) -> bool:
        """Whether the next one to come has to wait."""
        return super().full or asyncio.get_running_loop().time() < self._open_at

    def pause(self, seconds: float) -> None:
        """Let nobody in for this long, or less if less was asked for already."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if not loop.time() < self._open_at <= at:
            self._open_at = at
            loop.call_at(at, self._open, at)

    def _open(self, at: float) -> None:
        if self._open_at == at:
            self._open_at = 0.0  # a timer may come a little early
        self.let_in()

    def allow(self, most: int) -> None:
        """Set how many places there are while the machine answers."""
        self.most = most
        if self._answers:
            self.limit = most
            self.let_in()

    def answered(self) -> None:
        """Note that the other machine answers."""
        self._heard_at = asyncio.get_running_loop().time()
        self._answers, self.limit = True, self.most
        self._tell(silent=False)
        self.let_in()

    def silent(self, since: float) -> None:
        """Note that an action has been under way since then without an answer."""
        if self.independent and self._heard_at < since:
            self._answers, self.limit = False, 1
            self._tell(silent=True)

    def _tell(self, *, silent: bool) -> None:
        if silent != self._silent:
            self._silent = silent
            self._on_silence(silent)


class UnderWay:
    """One action under way, within the limits of its key and its channel, from `await enter()` to `leave()`.

    Once it is slow, it gives its place in the channel to others; `on_slow` says whether it may.
    """

    __slots__ = ("_channel", "_key_limit", "_loop", "_on_slow", "_since", "_slow", "_timers", "_within")

    def __init__(self, key: KeyLimit, channel: FairShare, on_slow: Callable[[], bool] | None) -> None:
        self._key_limit, self._channel, self._on_slow = key, channel, on_slow
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        self._within = False  # whether it counts in its channel
        self._slow = False
        self._timers: list[asyncio.TimerHandle] = []

    async def enter(self) -> None:
        """Wait for a place of the key, then for one of the channel."""
        await self._key_limit.take()
        try:
            await self._channel.take()
        except asyncio.CancelledError:
            self._key_limit.give()
            raise
        self._within, self._slow, self._since = True, False, self._loop.time()
        if self._on_slow is not None:
            self._timers = [
                self._loop.call_later(SLOW_S, self._is_slow),
                self._loop.call_later(QUIET_S, self._key_limit.silent, self._since),
            ]

    def _is_slow(self) -> None:
        self._slow = True
        self._key_limit.slow += 1
        if self._on_slow is not None and self._on_slow():
            self._within = False
            self._channel.give()

    def leave(self, *, answered: bool) -> None:
        """The action is over. `answered`: the other machine said something."""
        for timer in self._timers:
            timer.cancel()
        self._key_limit.slow -= self._slow
        if answered:
            self._key_limit.answered()
        if self._within:
            self._channel.give()
        self._key_limit.give()
