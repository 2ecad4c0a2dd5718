"""Decodes records into events.

A record that is not an event, or that states, triggers and tables cannot hold, becomes a dead letter. Ingest
accepts far less than these limits allow, but other programs may write anything to the log directly.
"""

from collections.abc import Iterable, Sequence

import msgspec

from backbone.log import Entry, Record, dead_letter
from schemas.event import Event, Malformed, clamp_future, decode
from schemas.updates import UPDATES, BadValue, put_right

GRACE_US = 1_000_000  # the wall clock runs this far behind, so that an event posted just in time still counts
PLAIN_BYTES = 1_000  # bytes; a smaller record cannot exceed the next three limits
MAX_BYTES = 512 << 10  # characters; leaves a trigger room for its whole event except the data
# characters of a forwarded record, which was accepted once: its headers tell where it came from
SENT_ON_BYTES = MAX_BYTES + (4 << 10)
MAX_ID = 1_024  # characters: a trigger names twenty events
MAX_DEPTH = 128
YEARS = range(2, 9999)  # years in which a time with any offset has a UTC form

Item = tuple[int, int, Event]  # offset, receipt time less the grace, event

_plain = msgspec.json.Decoder(Event).decode


def read(records: Sequence[Record], *, wall: bool) -> tuple[list[Item], list[Entry]]:
    """The events of a batch, and dead letters for the records that are not events.

    With `wall`, no event's time may be further ahead of its receipt than the limit. This is the hot path: a
    complete event is used as it is, and `decoded` handles all others.
    """
    batch: list[Item] = []
    poison: list[Entry] = []
    for record in records:
        try:
            event = _plain(record.value)
            time = event.time
            if time is None or time.tzinfo is None or not (event.account and event.type and event.id):
                event = decoded(record, wall=wall)
            else:
                _admit(event, record, wall)
        except (msgspec.DecodeError, ValueError, RecursionError):
            if record.damage is not None:
                poison.append(dead_letter(record, record.damage))
                continue
            try:
                event = decoded(record, wall=wall)
            except Malformed as error:
                poison.append(dead_letter(record, str(error)))
                continue
        if event.type in UPDATES and (wrong := put_right(event)):
            _count(wrong)
        batch.append((record.offset, record.timestamp - GRACE_US, event))
    return batch, poison


def decoded(record: Record, *, wall: bool) -> Event:
    """The event in a record, with defaults filled in. Raises `Malformed`."""
    place = f"{record.topic}/{record.partition}/{record.offset}"
    event = decode(record.value, place=place, timestamp=record.timestamp)
    _admit(event, record, wall)
    return event


def _count(left_out: Iterable[BadValue]) -> None:
    from backbone.telemetry import FIELDS_LEFT_OUT  # which long jobs hardly ever need

    for one in left_out:
        FIELDS_LEFT_OUT.labels("log", one.kind).inc()


def _admit(event: Event, record: Record, wall: bool) -> None:
    """Raises `Malformed` for an event that states and triggers cannot hold."""
    if wall:
        clamp_future(event, record.timestamp)
    if event.time is not None and event.time.year not in YEARS:
        raise Malformed("time", f"should lie in the years {YEARS[0]} to {YEARS[-1]}")
    size = len(record.value)
    if size <= PLAIN_BYTES:
        return
    if size > MAX_BYTES and (event.mergedfrom is None or size > SENT_ON_BYTES):
        raise Malformed("event", f"may have {MAX_BYTES:,} bytes, this one has {size:,}")
    if len(event.id) > MAX_ID:
        raise Malformed("id", f"may have {MAX_ID:,} characters, this one has {len(event.id):,}")
    if _deeper(event.data, MAX_DEPTH):
        raise Malformed("data", f"may nest {MAX_DEPTH} deep")


def _deeper(data: object, limit: int) -> bool:
    """Whether lists and objects are nested deeper than the limit. Not recursive, since the nesting may be very deep."""
    level = [data]
    for _ in range(limit + 1):
        level = [each for one in level for each in _within(one)]
        if not level:
            return False
    return True


def _within(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
