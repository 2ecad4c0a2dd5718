"""The log of one partition in the order in which a backtest judges it.

Records of a backfill (`historical`) count as live ones, and come first, in time order. An update among them that was
given no time of its own holds from its account's first record on: it is read just before that. What lies before the
erasure of an account is passed over. So the partition is read twice: the first time to find these, which are few in
most logs; they wait on temporary disk.

Engines number what they are given by rising offsets. Here these are numbers of our own: first those of the backfill,
then a place for each update that waits for its account's first record, then the log's own offsets after these, and at
last what a merge left that is not on the log. An engine may ask for the event of each of them later on.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from backbone.jobs.scratch import Scratch
from backbone.log.reader import LogReader, pages
from backbone.log.records import EVENTS, OffsetOutOfRange, Record
from schemas.event import CLOCK, CONTROL, Event, Malformed, decode, from_microseconds, microseconds
from schemas.names import is_name
from schemas.updates import UPDATES
from services.rules.backtest.heard import Heard
from services.rules.decoding import Item, decoded, read

PAGE = 10_000  # records
FETCH = 500  # rows of the backfill between two marks
UNDATED, DATED = 0, 1  # ranks: an update without a time of its own comes before what has that time

_SCHEMA = """
CREATE TABLE past (time INTEGER, rank INTEGER, offset INTEGER, stamp INTEGER, value BLOB,
  PRIMARY KEY (time, rank, offset)) WITHOUT ROWID;
CREATE TABLE undated (account TEXT, offset INTEGER, stamp INTEGER, value BLOB, PRIMARY KEY (account, offset))
  WITHOUT ROWID;
CREATE TABLE beyond (number INTEGER PRIMARY KEY, value BLOB);
"""
_PAST = "SELECT time, rank, offset, stamp, value FROM past"
_plain = msgspec.json.Decoder(Event).decode

Row = tuple[int, int, int, int, bytes]  # time, rank, offset, timestamp, value


@dataclass(slots=True)
class Found:
    """What the first reading found in a partition."""

    start: int
    end: int
    past: int = 0  # records of the backfill
    erased: dict[str, int] = field(default_factory=dict)  # accounts to the offset of their last erasure


class PartitionHistory:
    """One partition: `survey`, then `batches`, and `fetch` at any time after that."""

    def __init__(self, log: LogReader, partition: int, scratch: Scratch, start: int, end: int) -> None:
        self._log, self._partition = log, partition
        self.found = Found(start, end)
        self._scratch = scratch
        self._made: sqlite3.Connection | None = None  # most partitions need none
        self._firsts: dict[str, int] = {}  # accounts to the time of their first dated record of the backfill
        self._waiting: dict[
            str, list[tuple[int, int]]
        ] = {}  # accounts to (number, offset) of updates that wait
        self._marks: list[tuple[int, int, int]] = []  # every `FETCH` rows of the backfill, the key of one
        self._waited: dict[
            int, tuple[str, int, int | None]
        ] = {}  # numbers to (account, offset, time), of what waits no more
        self._base = 0  # the number of the live record at offset 0
        self._beyond = 0  # how many events were added
        self._batch: dict[int, Event] = {}
        self._places: dict[int, int] = {}  # numbers in the batch to offsets, of what was moved

    @property
    def _disk(self) -> sqlite3.Connection:
        if self._made is None:
            self._made = self._scratch.database(_SCHEMA)
        return self._made

    # -- the first reading

    def survey(self, heard: Heard) -> Iterator[int]:
        """Read the partition for the first time; yields the number of records after each page.

        `heard` notes the heartbeats.
        """
        for records in self._pages():
            heard.note(records)
            for record in records:
                value = record.value
                if b"historical" in value or b"account.deleted" in value or b"\\u00" in value:
                    self._look(record)
            self._scratch.check()
            yield len(records)
        self._sort()

    def _look(self, record: Record) -> None:
        try:
            given = _plain(record.value)
            event = decoded(record, wall=False)
        except (Malformed, msgspec.DecodeError, ValueError, RecursionError):
            return
        account = event.account
        if not is_name(account) or (event.contact and not is_name(event.contact)):
            return
        if event.type == "account.deleted":
            self.found.erased[account] = record.offset
        elif event.historical and event.type not in CONTROL:
            if event.type in UPDATES and (given.time is None or given.undated):
                row = (account, record.offset, record.timestamp, record.value)
                self._disk.execute("INSERT INTO undated VALUES (?, ?, ?, ?)", row)
                return
            time = microseconds(event.time) if event.time is not None else 0
            self._firsts[account] = min(time, self._firsts.get(account, time))
            self._keep(time, DATED, record.offset, record.timestamp, record.value)

    def _keep(self, time: int, rank: int, offset: int, stamp: int, value: bytes) -> None:
        self._disk.execute("INSERT INTO past VALUES (?, ?, ?, ?, ?)", (time, rank, offset, stamp, value))

    def _sort(self) -> None:
        """Give a place to everything that was found."""
        if self._made is None:
            return
        erased = self.found.erased
        for account, offset, stamp, value in self._disk.execute("SELECT * FROM undated"):
            if offset < erased.get(account, -1):
                continue
            if account in self._firsts:
                self._keep(self._firsts[account], UNDATED, offset, stamp, value)
            else:
                self._waiting.setdefault(account, []).append((-1, offset))
        self._firsts.clear()
        self.found.past = self._disk.execute("SELECT count(*) FROM past").fetchone()[0]
        number = self.found.past
        for account, waiting in self._waiting.items():
            self._waiting[account] = [(number + place, offset) for place, (_, offset) in enumerate(waiting)]
            number += len(waiting)
        self._base = number

    # -- the second reading

    def batches(self) -> Iterator[tuple[int, list[Item]]]:
        """The events to judge, in order: (records read, items) of each batch."""
        yield from self._backfilled()
        for records in self._pages():
            batch, _ = read(records, wall=False)
            self._places = {}
            items = self._live(batch)
            self._batch = {number: event for number, _, event in items}
            yield len(records), items
            self._batch = {}

    def _backfilled(self) -> Iterator[tuple[int, list[Item]]]:
        if not self.found.past:
            return
        key, number = (-(1 << 62), 0, 0), 0
        while rows := self._rows(key, FETCH):
            self._marks.append(key)
            items = self._events(rows, number)
            self._places = {number + place: row[2] for place, row in enumerate(rows)}
            self._batch = {number: event for number, _, event in items}
            yield 0, items
            number += len(rows)
            key = rows[-1][:3]
        self._batch = {}

    def _rows(self, after: tuple[int, int, int], limit: int) -> list[Row]:
        query = f"{_PAST} WHERE (time, rank, offset) > (?, ?, ?) ORDER BY time, rank, offset LIMIT ?"
        return self._disk.execute(query, (*after, limit)).fetchall()

    def _events(self, rows: list[Row], number: int) -> list[Item]:
        records = [Record(EVENTS, self._partition, row[2], None, row[4], row[3]) for row in rows]
        places = {row[2]: (number + place, row) for place, row in enumerate(rows)}
        items = []
        for offset, received, event in read(records, wall=False)[0]:
            at, row = places[offset]
            if self._admitted(offset, event):
                items.append((at, received, self._as_live(event, row[0])))
        return items

    @staticmethod
    def _as_live(event: Event, time: int | None) -> Event:
        event.historical = event.undated = False
        if time is not None:
            event.time = from_microseconds(time)
        return event

    def _live(self, batch: list[Item]) -> list[Item]:
        base, waiting, items = self._base, self._waiting, []
        if self._stands(batch):
            return [(base + offset, received, event) for offset, received, event in batch] if base else batch
        for offset, received, event in batch:
            if not self._admitted(offset, event):
                continue
            account = event.account
            if waiting and account in waiting:
                time = None if event.time is None else microseconds(event.time)
                for number, place in waiting.pop(account):  # this one may be among them
                    self._waited[number] = (account, place, time)
                    items.append((number, received, self._undated(account, place, time)))
                    self._places[number] = place
            if not event.historical:
                items.append((base + offset, received, event))
        return items

    def _stands(self, batch: list[Item]) -> bool:
        """Whether all events of a batch are judged as they stand there, as is so for most."""
        accounts = {event.account for _, _, event in batch}
        contacts = {event.contact for _, _, event in batch if event.contact}
        return (
            CONTROL.isdisjoint([event.type for _, _, event in batch])
            and True not in {event.historical for _, _, event in batch}
            and self._waiting.keys().isdisjoint(accounts)
            and self.found.erased.keys().isdisjoint(accounts)
            and all(map(is_name, accounts))
            and all(map(is_name, contacts))
        )

    def _undated(self, account: str, offset: int, time: int | None) -> Event:
        query = "SELECT stamp, value FROM undated WHERE account = ? AND offset = ?"
        stamp, value = self._disk.execute(query, (account, offset)).fetchone()
        record = Record(EVENTS, self._partition, offset, None, value, stamp)
        return self._as_live(read([record], wall=False)[0][0][2], time)

    def _admitted(self, offset: int, event: Event) -> bool:
        """Whether an event is judged: not what rules decided then, not of the erased, not what no table can hold."""
        if event.type in CONTROL:
            return event.type == CLOCK
        account = event.account
        if offset < self.found.erased.get(account or "", -1):
            return False
        return is_name(account) and (not event.contact or is_name(event.contact))

    # -- single events

    def fetch(self, number: int) -> Event:
        """The event of a number. Raises `LookupError` if the log does not have it any more."""
        event = self._batch.get(number)
        if event is not None:
            return event
        if number < self.found.past:
            key, skip = self._marks[number // FETCH], number % FETCH
            rows = self._rows(key, skip + 1)
            return self._events(rows[skip:], number)[0][2]
        if number in self._waited:
            return self._undated(*self._waited[number])
        offset = number - self._base
        if offset >= self.found.end:
            query = "SELECT value FROM beyond WHERE number = ?"
            return _decoded_beyond(self._disk.execute(query, (number,)).fetchone()[0])
        return self._logged(offset)

    def _logged(self, offset: int) -> Event:
        try:
            records = self._log.read(EVENTS, self._partition, offset, 1)
        except OffsetOutOfRange:
            records = []
        for record in records:
            if record.offset == offset and record.damage is None:
                return decoded(record, wall=False)
        raise LookupError(f"the event at offset {offset} is not in the log any more")

    def add(self, value: bytes) -> tuple[int, Event]:
        """Add an event that should stand on the log after everything that it holds: its number, and the event."""
        number = self._base + self.found.end + self._beyond
        self._beyond += 1
        self._disk.execute("INSERT INTO beyond VALUES (?, ?)", (number, value))
        return number, _decoded_beyond(value)

    def place(self, number: int) -> int:
        """The log's own offset of a number that was judged in the batch in hand, or at its border."""
        found = self._places.get(number)
        if found is not None:
            return found
        return max(0, number - self._base)

    def _pages(self) -> Iterator[list[Record]]:
        return pages(self._log, EVENTS, self._partition, self.found.start, self.found.end, PAGE)


def _decoded_beyond(value: bytes) -> Event:
    return decode(value, place="", timestamp=0)  # its time is that of the event that it was made of


def erased_anywhere(histories: Mapping[int, PartitionHistory]) -> set[str]:
    """The accounts that were erased at some place of the log, in any partition."""
    return {account for history in histories.values() for account in history.found.erased}
