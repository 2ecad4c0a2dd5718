"""The log as a rehearsal reads it: every record's type, account and time, and of a few accounts the whole record."""

from collections.abc import Callable, Collection, Iterator

import msgspec

from backbone.log import EVENTS, TRIGGERS, Record, partition_for
from backbone.log.reader import Readable, pages
from schemas.event import CLOCK, CONTROL, FUTURE_LIMIT_US, OWN_PREFIX, Event, Malformed, decode, microseconds
from schemas.names import is_name
from schemas.trigger import Moved, TriggerRecord
from schemas.updates import UPDATES
from services.actions.rehearsal.kept import Line

PAGE = 2_000  # records of one read


class _Head(Event):
    """An event whose data is not decoded."""

    data: msgspec.Raw = msgspec.Raw()


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_decided = msgspec.json.Decoder(TriggerRecord).decode


class LogOfAccounts:
    """Implements `rehearsal.rehearse.PastLog`.

    `wall`: the server has the wall clock, so a time far ahead of receipt counts as the receipt time. `read` is called
    with the number of records that were read since the last call.
    """

    def __init__(self, log: Readable, *, wall: bool, read: Callable[[int], None] = lambda _: None) -> None:
        self._log, self._wall, self._read = log, wall, read
        self.partitions = log.partitions
        self._starts, self._ends = log.start_offsets(EVENTS), log.end_offsets(EVENTS)

    @property
    def size(self) -> int:
        """How many events one reading has, roughly."""
        return sum(end - self._starts[number] for number, end in self._ends.items())

    def lines(self, partition: int, accounts: Collection[str]) -> Iterator[Line]:
        """Every event of the partition, in order; `value` is empty for other accounts than these."""
        for records in pages(
            self._log, EVENTS, partition, self._starts[partition], self._ends[partition], PAGE
        ):
            for record in records:
                line = line_of(record, accounts, self.partitions, wall=self._wall)
                if line is not None:
                    yield line
            self._read(len(records))

    def moved(self, partition: int, accounts: Collection[str]) -> Iterator[Moved]:
        """What rules decided about merges of these accounts, in order."""
        start, end = self._log.start_offsets(TRIGGERS)[partition], self._log.end_offsets(TRIGGERS)[partition]
        last = self._ends[partition]
        for records in pages(self._log, TRIGGERS, partition, start, end, PAGE):
            for record in records:
                moved = _moved_in(record)
                if moved is not None and moved.account in accounts and moved.position.offset < last:
                    yield moved


def line_of(record: Record, accounts: Collection[str], partitions: int, *, wall: bool) -> Line | None:
    """The line of a record; None for one that is no event, or is in the wrong partition: those change nothing."""
    event, dated = _event_of(record)
    if event is None or event.time is None:
        return None
    account = event.account or ""
    if event.type in CONTROL:
        account = ""
    elif not (is_name(account) and is_name(event.contact or "-")):
        return None
    if account and partition_for(account, partitions) != record.partition:
        return None
    time = microseconds(event.time)
    if wall and time > record.timestamp + FUTURE_LIMIT_US:
        time = record.timestamp
    return Line(
        offset=record.offset,
        received=record.timestamp,
        type=event.type,
        account=account,
        time=time,
        value=record.value if account in accounts else b"",
        historical=event.historical,
        own=event.type.startswith(OWN_PREFIX) and event.type != CLOCK,
        timeless=event.historical and event.type in UPDATES and (event.undated or not dated),
    )


def _event_of(record: Record) -> tuple[Event | None, bool]:
    """The event, its data left aside, and whether it was given a time."""
    try:
        event = _decode_head(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = None
    if event is not None and event.time is not None and event.time.tzinfo is not None and event.type:
        return (event if event.account is not None or event.type in CONTROL else None), True
    place = f"{record.topic}/{record.partition}/{record.offset}"
    try:
        return decode(
            record.value, place=place, timestamp=record.timestamp
        ), event is None or event.time is not None
    except Malformed:
        return None, True


def _moved_in(record: Record) -> Moved | None:
    if b'"moved"' not in record.value:
        return None
    try:
        return _decode_decided(record.value).moved
    except (msgspec.DecodeError, ValueError):
        return None
