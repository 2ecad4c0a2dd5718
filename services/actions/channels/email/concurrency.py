"""Keeps only as many mails on the wire as keep the server busy: after a kill, every mail without an answer is in doubt.

The number follows from how quickly the server answers a single mail: `least` at once, and one more for every `step`
seconds that it takes. It is measured again now and then, with one mail at a time, since the answers to many mails at
once include their time in the queue. A mail that waits long for its answer holds up no other.
"""

import asyncio
from collections import deque
from types import TracebackType

MOST_PATIENT = 8  # the patience grows up to this many times
LATE_S = 0.02  # a timeout that fires this late means that we were busy, and the answer may be waiting unread
SAMPLES = 3  # how many single answers make a measurement; the quickest counts
AGAIN_S = 10.0  # between measurements


class AdaptiveLimit:
    """The limit for one server; belongs to one event loop. The channel's own limit holds as well.

    After `patience` seconds without an answer, a mail gives its place to another; the next one does so after twice as
    long, and so on up to `MOST_PATIENT` times the patience, until there is an answer.
    """

    def __init__(self, *, least: int, step: float, patience: float) -> None:
        self._least, self._step, self._patience = least, step, patience
        self.patience = patience  # seconds, for the next mail that enters
        self.room = 1  # how many places there are at present
        self._inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._best = patience
        self._wanted = SAMPLES
        self._measured_at = 0.0

    async def enter(self) -> "Permit":
        """Wait for a place."""
        loop = asyncio.get_running_loop()
        if not self._wanted and loop.time() > self._measured_at + AGAIN_S:
            self.room, self._best, self._wanted = 1, self._patience, SAMPLES
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
        while self._queue and self._inside < self.room:
            turn = self._queue.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def answered(self) -> None:
        """Note that the server answers."""
        self.patience = self._patience

    def tired(self) -> None:
        """Note that the server has not answered for this long."""
        self.patience = min(2 * self.patience, MOST_PATIENT * self._patience)

    @property
    def alone(self) -> bool:
        """Whether a single mail is under way, to be measured."""
        return self._wanted > 0 and self._inside == 1

    def measured(self, seconds: float, now: float) -> None:
        """Note how long the server took for a single mail."""
        self._best = min(self._best, seconds)
        self._wanted -= 1
        if self._wanted <= 0:
            self.room, self._measured_at = self._least + int(self._best / self._step), now


class Permit:
    """A place, kept until the answer is there or the patience is over: `with await limit.enter(): …`."""

    __slots__ = ("_alone", "_gate", "_loop", "_since", "_timer")

    def __init__(self, gate: AdaptiveLimit, loop: asyncio.AbstractEventLoop) -> None:
        self._gate, self._loop, self._since = gate, loop, loop.time()
        self._alone = gate.alone
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def _wait(self) -> None:
        patience = self._gate.patience
        self._timer = self._loop.call_later(patience, self._tire, self._loop.time() + patience)

    def _tire(self, due: float) -> None:
        if self._loop.time() - due > LATE_S:
            self._wait()
        else:
            self._gate.tired()
            self._end()

    def _end(self) -> None:
        if self._timer is None:
            return  # the patience was over before
        self._timer.cancel()
        self._timer = None
        if self._alone:
            now = self._loop.time()
            self._gate.measured(now - self._since, now)
        self._gate.leave()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alone = self._alone and kind is None  # a quick failure is not an answer
        if kind is None:
            self._gate.answered()
        self._end()
