"""Keeps only as many mails on the wire as keep the server busy: after a kill, every mail without an answer is in doubt.

The number follows from how quickly the server answers a single mail: `least` at once, and one more for every `step`
seconds that it takes. It is measured again now and then, with one mail at a time, since the answers to many mails at
once include their time in the queue. A mail that waits long for its answer holds up no other, as long as others are
answered. A server that answers none hangs, and so does one that hangs up instead of answering: it gets single mails,
further and further apart, until it answers one.
"""

import asyncio
from collections import deque
from types import TracebackType

LONGER = 4  # after each mail without an answer, the patience is this many times as long
UNUSUAL = 4  # a server that takes this many times as long as usual hangs
WEIGHT = 0.2  # of the newest answer in what is usual
LATE_S = 0.02  # a timeout that fires this late means that we were busy, and the answer may be waiting unread
SAMPLES = 3  # how many single answers make a measurement; the quickest counts
AGAIN_S = 10.0  # between measurements


class AdaptiveLimit:
    """The limit for one server; belongs to one event loop. The channel's own limit holds as well.

    After `patience` seconds without an answer, a mail gives its place to another; the next one does so after `LONGER`
    times that, and so on up to `most_patience`, until there is an answer. A mail whose connection broke instead keeps
    its place for a `pause` that grows likewise. Each has its own count: a server that hung and is started anew breaks
    connections too, and is soon tried again.
    """

    def __init__(self, *, least: int, step: float, patience: float, most_patience: float) -> None:
        self._least, self._step, self._patience, self._most_patience = least, step, patience, most_patience
        self.patience = self.pause = patience  # seconds, for the next mail that goes out
        # Whether mails went out and none has been answered for longer than usual, or connections broke instead.
        self.hangs = False
        self._room = 1
        self._inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._best = patience
        self._wanted = SAMPLES
        self._measured_at = 0.0
        self._usual = 0.0  # seconds that an answer takes, smoothed
        self._heard_at = 0.0

    @property
    def room(self) -> int:
        """How many places there are at present."""
        return 1 if self.hangs else self._room

    async def enter(self) -> "Permit":
        """Wait for a place."""
        loop = asyncio.get_running_loop()
        if not self._wanted and loop.time() > self._measured_at + AGAIN_S:
            self._room, self._best, self._wanted = 1, self._patience, SAMPLES
        if self._inside < self.room:
            self._inside += 1
        else:
            await self._turn(loop)
        return Permit(self, loop)

    async def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = loop.create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place was given just now
                self.leave()
            raise

    def leave(self) -> None:
        """Free a place."""
        self._inside -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._queue and self._inside < self.room:
            turn = self._queue.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def answered(self, took: float, now: float) -> None:
        """Note that the server has answered a mail, in so many seconds."""
        self._usual += (took - self._usual) * (WEIGHT if self._usual else 1)
        self.patience = self.pause = self._patience
        self._heard_at, self.hangs = now, False
        self._let_in()

    def tired(self, waited: float, since: float) -> None:
        """Note that the server has left a mail without an answer for this long."""
        if self._heard_at <= since:  # others have none either
            self.patience = min(max(self.patience, LONGER * waited), self._most_patience)
            self.hangs |= waited >= UNUSUAL * self._usual

    def broken(self, pause: float, since: float) -> None:
        """Note that a mail's connection broke before its answer, and that it keeps its place for this long."""
        if self._heard_at <= since:  # others have none either
            self.pause = min(max(self.pause, LONGER * pause), self._most_patience)
            self.hangs = True

    @property
    def alone(self) -> bool:
        """Whether a single mail is under way, to be measured."""
        return self._wanted > 0 and self._inside == 1

    def measured(self, seconds: float, now: float) -> None:
        """Note how long the server took for a single mail."""
        self._best = min(self._best, seconds)
        self._wanted -= 1
        if self._wanted <= 0:
            self._room, self._measured_at = self._least + int(self._best / self._step), now


class Permit:
    """A place, to be used (`with permit: …`) or given back.

    Used, it is kept until the answer is there, the patience is over, or the pause after a broken connection.
    """

    __slots__ = ("_alone", "_gate", "_kept", "_loop", "_patience", "_pause", "_since", "_timer")

    def __init__(self, gate: AdaptiveLimit, loop: asyncio.AbstractEventLoop) -> None:
        self._gate, self._loop = gate, loop
        self._kept, self._alone = True, False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._since, self._alone = self._loop.time(), self._gate.alone
        self._patience, self._pause = self._gate.patience, self._gate.pause
        self._wait()

    def _wait(self) -> None:
        self._timer = self._loop.call_later(self._patience, self._tire, self._loop.time() + self._patience)

    def _tire(self, due: float) -> None:
        if self._loop.time() - due > LATE_S:
            self._wait()
            return
        self._gate.tired(self._patience, self._since)
        self._alone = self._alone and not self._gate.hangs  # that says nothing about how long an answer takes
        self.give_back()

    def give_back(self) -> None:
        """Free the place, if it is still kept."""
        if not self._kept:
            return
        self._kept = False
        if self._timer is not None:
            self._timer.cancel()
        if self._alone:
            now = self._loop.time()
            self._gate.measured(now - self._since, now)
        self._gate.leave()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = self._loop.time()
        self._alone = self._alone and kind is None  # a quick failure is not an answer
        if kind is None:
            self._gate.answered(now - self._since, now)
        elif isinstance(error, TimeoutError):
            self._gate.tired(now - self._since, self._since)
        elif isinstance(error, Exception):  # not if we gave up ourselves
            self._gate.broken(self._pause, self._since)
            self._rest()
            return
        self.give_back()

    def _rest(self) -> None:
        """Keep the place for the pause, if it is still kept: the next mail may end like this one."""
        if self._kept and self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop.call_later(self._pause, self.give_back)
