"""The part of a partition's log that a rehearsal plays: what concerns the accounts of its triggers. Pure.

Records are offered in the order of the log and kept as bytes. With each goes the partition's clock just before it, so
that records of other accounts need not be kept: all they do to a play is carry the clock.
"""

from collections.abc import Callable, Iterable
from zlib import crc32

import msgspec

from schemas.event import OWN_PREFIX, RESERVED
from schemas.forwarding import ERASED
from schemas.trigger import Moved, Trigger

DIGESTS = 1 << 32
RECORD_BYTES = 250  # memory that a kept record takes, besides its value
ROOM = 384 << 20  # bytes that may be kept at once; the other accounts wait for another reading of the log

COMPLETED = OWN_PREFIX + "task.completed"
# An erasure is none of them: nothing of before it is kept.
_PLAYED = (RESERVED | {ERASED, COMPLETED}) - {"account.deleted"}


class Line(msgspec.Struct, gc=False):
    """A record of touchline.events as far as it was decoded. `time` is the event's, in microseconds.

    `timeless`: an update of the past that was given no time of its own.
    """

    offset: int
    received: int
    type: str
    account: str
    time: int
    value: bytes
    historical: bool = False
    own: bool = False  # Touchline's own event: it never carries the clock
    timeless: bool = False


class KeptRecord(msgspec.Struct, gc=False):
    """A record that is played. `before`: the partition's clock just before it, as the records ahead of it left it."""

    offset: int
    received: int
    time: int
    before: int
    value: bytes
    account: str
    first: bool = False  # a timeless update, put to the time of the account's first record


class Kept:
    """One reading of a partition: the accounts whose hashes are in [low, high)."""

    def __init__(
        self,
        triggers: Iterable[Trigger],
        concerns: Callable[[str], bool],
        *,
        low: int = 0,
        room: int = ROOM,
        until: int | None = None,
    ) -> None:
        self.low, self.high, self._room, self._until = low, DIGESTS, room, until
        self._concerns = concerns
        self._triggers = [one for one in triggers if digest(one.account) >= low]
        self.accounts = {one.account for one in self._triggers}
        self._places: dict[int, tuple[bool, int]] = dict.fromkeys(
            (one.position.offset for one in self._triggers), (False, -1)
        )
        self._erased: dict[str, int] = {}  # to the offset of the last erasure
        self._first: dict[str, int] = {}  # the time of the account's first historical record that has one
        self._first_live: dict[
            str, tuple[int, int]
        ] = {}  # the offset of its first live one, the clock before
        self.past: list[tuple[KeptRecord, bool]] = []  # historical ones, and whether they are timeless
        self.live: list[KeptRecord] = []
        self.moved: list[Moved] = []
        self.clock = 0  # of the live records so far
        self.newest_past = 0
        self.over = False  # a record has carried the clock past `until`: later ones had not come by then
        self.bytes = 0

    def wants(self, account: str, type_: str) -> bool:
        """Whether the whole record is needed, and not only its time."""
        return account in self.accounts and (type_ in _PLAYED or self._concerns(type_))

    def take(self, line: Line) -> None:
        """Take the next record of the log."""
        if line.type == "account.deleted":  # also one that came later than `until`
            self._erase(line)
        if line.historical:
            self._take_past(line)
        elif not self.over:
            self._take_live(line)

    def _take_past(self, line: Line) -> None:
        if line.offset in self._places:
            self._places[line.offset] = (True, line.time)
        if not line.own and not line.timeless:
            self.newest_past = max(self.newest_past, line.time)
            if line.account in self.accounts:
                first = self._first.get(line.account, line.time)
                self._first[line.account] = min(first, line.time)
        if self.wants(line.account, line.type):
            one = KeptRecord(line.offset, line.received, line.time, line.time, line.value, line.account)
            self.past.append((one, line.timeless))
            self._weigh(line)

    def _take_live(self, line: Line) -> None:
        before = self.clock
        if not line.own:
            if self._until is not None and line.time > self._until:
                self.over = True
                return
            self.clock = max(self.clock, line.time)
        if line.account in self.accounts:
            self._first_live.setdefault(line.account, (line.offset, before))
        if line.offset in self._places:
            self._places[line.offset] = (False, self.clock)
        if self.wants(line.account, line.type):
            self.live.append(
                KeptRecord(line.offset, line.received, line.time, before, line.value, line.account)
            )
            self._weigh(line)

    def _erase(self, line: Line) -> None:
        """Forget what came before an erasure: the erased are passed over, as if they had never been."""
        if line.account not in self.accounts:
            return
        self._erased[line.account] = line.offset
        self._first.pop(line.account, None)
        self._first_live.pop(line.account, None)
        self.past = [one for one in self.past if one[0].account != line.account]
        self.live = [one for one in self.live if one.account != line.account]

    def _weigh(self, line: Line) -> None:
        """Count the bytes that are kept. If they are too many, the upper half of the accounts waits."""
        self.bytes += RECORD_BYTES + len(line.value)
        if self.bytes <= self._room:
            return
        digests = sorted({digest(account) for account in self.accounts})
        if len(digests) < 2:
            return  # one account: there is nothing to put off
        self.high = digests[len(digests) // 2]
        self.accounts = {one for one in self.accounts if digest(one) < self.high}
        self._triggers = [one for one in self._triggers if one.account in self.accounts]
        self.past = [one for one in self.past if one[0].account in self.accounts]
        self.live = [one for one in self.live if one.account in self.accounts]
        kept = [*(one for one, _ in self.past), *self.live]
        self.bytes = sum(RECORD_BYTES + len(one.value) for one in kept)

    def take_moved(self, moved: Moved) -> None:
        """Take a decision of rules about a merge."""
        if moved.account in self.accounts and moved.position.offset > self._erased.get(moved.account, -1):
            self.moved.append(moved)

    # -- what is played

    def triggers(self) -> list[Trigger]:
        """The triggers of this reading's accounts, but for those that were decided before an erasure."""
        return [one for one in self._triggers if one.position.offset > self._erased.get(one.account, -1)]

    def place(self, offset: int) -> tuple[bool, int]:
        """Of the record at a trigger's place: whether it is historical; its time then, else the clock after it.

        A record that was not read is taken for a live one; -1 stands for its clock.
        """
        return self._places.get(offset, (False, -1))

    def in_order(self) -> tuple[list[KeptRecord], list[KeptRecord]]:
        """The historical records, in time order, and the live ones, in that of the log.

        A timeless update holds from its account's first record on, so it comes just before that.
        """
        past, live = [], list(self.live)
        for one, timeless in self.past:
            if not timeless:
                past.append(one)
            elif one.account in self._first or one.account not in self._first_live:
                first = self._first.get(one.account, 0)
                past.append(msgspec.structs.replace(one, time=first, before=first, first=True))
            else:
                place, clock = self._first_live[one.account]
                live.append(msgspec.structs.replace(one, offset=place, time=clock, before=clock, first=True))
        past.sort(key=lambda one: (one.time, not one.first, one.offset))
        live.sort(key=lambda one: (one.offset, not one.first))
        return past, live


def digest(account: str) -> int:
    """The hash by which the accounts of one reading are chosen."""
    return crc32(account.encode("utf-8", "surrogatepass"))
