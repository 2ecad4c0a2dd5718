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
QUICK_S = 0.1  # a key whose answers take no longer is quick
WEIGHT = 0.2  # of the newest answer in how long answers take
PACE_S, FIRST_PACE_S = 0.1, 0.02  # time over which answers are counted; where nothing is known of late, first
PACE_FADES = 0.7  # share of an earlier pace that is left after `PACE_S`, for it may be us who are slow
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
        self.answers = not independent  # lately
        self._heard_at = 0.0
        self._open_at = 0.0
        self._on_silence, self._silent = on_silence, False
        self._watched: deque[UnderWay] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self.slow = 0  # actions under way that are slow
        self.takes = float("inf")  # seconds that an answer takes, smoothed
        self.pace = 0.0  # answers a second, lately
        self._counted, self._counted_from = 0, 0.0

    @property
    def quick(self) -> bool:
        """Whether a place, once taken, is free again in a moment."""
        return self.independent and self.answers and not self.slow and self.takes <= QUICK_S

    @property
    def blocked(self) -> bool:
        """Whether an action that waits for a silent machine has taken its only place for a while."""
        return not self.answers and self.slow > 0

    @property
    def full(self) -> bool:
        """Whether the next one to come has to wait."""
        return self.taken >= self.limit or (
            self._open_at > 0 and asyncio.get_running_loop().time() < self._open_at
        )

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
        if self.answers:
            self.limit = most
            self.let_in()

    def answered(self, took: float = 0.0) -> None:
        """Note that the other machine answers, in so many seconds."""
        self._heard_at = now = asyncio.get_running_loop().time()
        self._counted += 1
        counted_for = now - self._counted_from
        if counted_for >= (PACE_S if self.pace * PACE_S > 1 else FIRST_PACE_S):
            before = self.pace * PACE_FADES ** (counted_for / PACE_S)
            self.pace = max(self._counted / counted_for, before)
            self._counted, self._counted_from = 0, now
        self.takes = took if self.takes == float("inf") else self.takes + WEIGHT * (took - self.takes)
        self.answers, self.limit = True, self.most
        self._tell(silent=False)
        self.let_in()

    def silent(self, since: float) -> None:
        """Note that an action has been under way since then without an answer."""
        if self.independent and self._heard_at < since:
            self.answers, self.limit = False, 1
            self._tell(silent=True)

    def watch(self, place: "UnderWay") -> None:
        """Tell a place when it is slow. One timer serves all, which have come in the order of their times."""
        self._watched.append(place)
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_at(place.since + SLOW_S, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while self._watched and (self._watched[0].over or self._watched[0].since + SLOW_S <= loop.time()):
            self._watched.popleft().turn_slow()
        waits = bool(self._watched)
        self._alarm = loop.call_at(self._watched[0].since + SLOW_S, self._look) if waits else None

    def _tell(self, *, silent: bool) -> None:
        if silent != self._silent:
            self._silent = silent
            self._on_silence(silent)


class UnderWay:
    """One action under way, within the limits of its key and its channel, from `await enter()` to `leave()`.

    Once it is slow, it gives its place in the channel to others; `on_slow` says whether it may.
    """

    __slots__ = (
        "_channel", "_key_limit", "_loop", "_on_slow", "_quiet", "_sent_at", "_slow", "_within", "over", "since",
    )  # fmt: skip

    def __init__(self, key: KeyLimit, channel: FairShare, on_slow: Callable[[], bool] | None) -> None:
        self._key_limit, self._channel, self._on_slow = key, channel, on_slow
        self._loop = asyncio.get_running_loop()
        self.since = 0.0  # by the loop's clock
        self._sent_at = 0.0
        self.over = True
        self._within = False  # whether it counts in its channel
        self._slow = False
        self._quiet: asyncio.TimerHandle | None = None

    async def enter(self) -> None:
        """Wait for a place of the key, then for one of the channel."""
        await self._key_limit.take()
        try:
            await self._channel.take()
        except asyncio.CancelledError:
            self._key_limit.give()
            raise
        self._within, self._slow, self.over = True, False, False
        self.since = self._sent_at = self._loop.time()
        if self._on_slow is not None:
            self._key_limit.watch(self)

    def sends(self) -> None:
        """It goes out now; the time before, until it had begun, is not the other machine's."""
        self._sent_at = self._loop.time()

    def turn_slow(self) -> None:
        """It is slow now, unless it is over."""
        if self.over or self._slow or self._on_slow is None:
            return
        self._slow = True
        self._key_limit.slow += 1
        self._quiet = self._loop.call_at(self.since + QUIET_S, self._key_limit.silent, self.since)
        if self._on_slow():
            self._within = False
            self._channel.give()

    def leave(self, *, answered: bool) -> None:
        """The action is over. `answered`: the other machine said something."""
        self.over = True
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        self._key_limit.slow -= self._slow
        if answered:
            self._key_limit.answered(self._loop.time() - self._sent_at)
        if self._within:
            self._channel.give()
        self._key_limit.give()
