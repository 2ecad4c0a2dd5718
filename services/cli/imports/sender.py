"""Carries what was read to the server: in batches, several at once, those of one account in the order of the file.

Every account belongs to one lane, and a lane has one request under way. Where the server says that it is busy (429,
503) or is away for a moment, the lane waits and sends the same again.
"""

import threading
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from queue import Queue
from typing import Any, NamedTuple

from backbone.errors import ConfigurationError, TouchlineError
from services.cli.client import ApiError

LANES = 4
AT_ONCE = 500  # items of a request, as many as the API takes
MOST_BYTES = 900_000  # of a request, of the 1 MiB that the API takes
WAITING = 2  # batches of a lane that may wait: what is read ahead is bounded
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # between tries; the last for as long as the server is busy
BUSY = frozenset({429, 502, 503, 504})


class Item(NamedTuple):
    """One thing to send: `begin` is where its line begins in the file (bytes), `more` what its story needs later."""

    line: int
    begin: int
    body: bytes
    more: Any = None


Deliver = Callable[[Sequence[Item]], None]
After = Callable[[], None]


class _Lane:
    def __init__(self) -> None:
        self.items: list[Item] = []
        self.size = 0
        self.queue: Queue[list[Item] | None] = Queue(WAITING)
        self.begins: deque[int] = deque()  # of the batches that are not over


class Sender:
    """`deliver` sends a batch and deals with the answer; it is called in a thread of a lane. So is `after`, whenever
    something has moved. Use it in a `with`.

    Leaving it with an error, or by Ctrl-C, gives up what waits; each lane ends the request that it has under way.
    """

    def __init__(
        self, deliver: Deliver, *, after: After = lambda: None, at_once: int = AT_ONCE, lanes: int = LANES
    ) -> None:
        self._deliver, self._after, self._at_once = deliver, after, at_once
        self._lanes = [_Lane() for _ in range(lanes)]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: TouchlineError | None = None
        self._answered = False
        self.waits = ""  # why nothing goes on at the moment
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), daemon=True) for lane in self._lanes
        ]

    def __enter__(self) -> "Sender":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._stop.set()
        for lane in self._lanes:
            if kind is None:
                self._flush(lane)
            else:
                _empty(lane.queue)
            lane.queue.put(None)
        for thread in self._threads:
            thread.join()
        if kind is None:
            self._check()

    def put(self, account: str, item: Item) -> None:
        """Take an item along. Waits while much is under way. Raises what a lane could not get over."""
        lane = self._lanes[zlib.crc32(account.encode("utf-8", "surrogatepass")) % len(self._lanes)]
        if lane.items and lane.size + len(item.body) > MOST_BYTES:
            self._flush(lane)
        if not lane.items:
            with self._lock:
                lane.begins.append(item.begin)
        lane.items.append(item)
        lane.size += len(item.body) + 1
        if len(lane.items) >= self._at_once:
            self._flush(lane)

    def done(self, read: int) -> int:
        """How far everything has been delivered, in bytes, where the file has been read up to `read`."""
        with self._lock:
            return min([read, *(lane.begins[0] for lane in self._lanes if lane.begins)])

    def _flush(self, lane: _Lane) -> None:
        self._check()
        if lane.items:
            lane.queue.put(lane.items)
            lane.items, lane.size = [], 0

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self, lane: _Lane) -> None:
        while (batch := lane.queue.get()) is not None:
            if self._stop.is_set():
                continue
            try:
                if not self._delivered(batch):
                    continue
            except TouchlineError as error:
                self._error = self._error or error
                self._stop.set()
                continue
            with self._lock:
                lane.begins.popleft()
            self._after()

    def _delivered(self, batch: list[Item]) -> bool:
        """Deliver, and again for as long as the server is busy. False: we were stopped meanwhile."""
        tries = 0
        while True:
            try:
                self._deliver(batch)
            except ApiError as error:
                if error.status not in BUSY:
                    raise
                pause = float(error.problem.get("retry_after") or PAUSES_S[min(tries, len(PAUSES_S) - 1)])
                self.waits = f"the server is busy ({error.status})"
            except ConfigurationError:
                if not self._answered or tries >= len(PAUSES_S):
                    raise
                pause = PAUSES_S[tries]
                self.waits = "the server does not answer"
            else:
                self._answered, self.waits = True, ""
                return True
            tries += 1
            self._after()
            if self._stop.wait(pause):
                return False


def _empty(queue: "Queue[list[Item] | None]") -> None:
    while not queue.empty():
        queue.get_nowait()
