"""Opening hours by the clocks of readers, in any zone. Pure.

What the clock shows decides. A local time that a clock change leaves out is the first one after it; one that comes
twice is judged each time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

SECOND, DAY = 1_000_000, 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_WEEKDAY = 3  # of 1970-01-01, a Thursday
_FURTHEST = 26 * 3600  # seconds: no zone was ever that far from UTC
_STRIDE = 6 * 3600  # no zone changed its clock twice within such a time


class Stretch(NamedTuple):
    """A part of a local date in which the clock runs evenly: from `begin` to `end` (exclusive), in microseconds.

    `offset`: of the local time from UTC.
    """

    begin: int
    end: int
    offset: int


@dataclass(frozen=True, slots=True)
class OpenHours:
    """The hours of a day, in microseconds after midnight (`end` exclusive), on days that are listed (0: Monday).

    `holidays`: days since 1970-01-01 on which all is closed.
    """

    start: int
    end: int
    days: frozenset[int]
    holidays: frozenset[int]

    def opening(self, at: int, zone: str, until: int) -> int | None:
        """The first moment from `at` on that lies within the hours; None if there is none up to `until`."""
        today = local_day(at, zone)
        if at <= until and any(begin <= at < end for begin, end in _open(self, today, zone)):
            return at
        found: int | None = None
        day = today - 1
        last = min(local_day(until, zone) + 1, day + _MOST_DAYS)
        while day <= last:
            for begin, end in _open(self, day, zone):
                if end > at and (found is None or begin < found):
                    found = max(begin, at)
            if found is not None and day > local_day(found, zone):
                break  # the next day may begin before this one ends, where a clock is set back over midnight
            day += 1
        return found if found is not None and found <= until else None


_MOST_DAYS = 800  # that are looked through: longer than any mail waits


@lru_cache(8_192)
def _open(hours: OpenHours, day: int, zone: str) -> list[tuple[int, int]]:
    """The hours of a local date, from and to (exclusive)."""
    if (day + _FIRST_WEEKDAY) % 7 not in hours.days or day in hours.holidays:
        return []
    midnight = day * DAY
    found = [
        (max(begin, midnight + hours.start - offset), min(end, midnight + hours.end - offset))
        for begin, end, offset in stretches(zone, day)
    ]
    return [(first, past) for first, past in found if first < past]


def local_day(at: int, zone: str) -> int:
    """The date that the clock of a zone shows, in days since 1970-01-01."""
    return (at + _offset(at // SECOND, zone)) // DAY


@lru_cache(8_192)
def stretches(zone: str, day: int) -> tuple[Stretch, ...]:
    """The parts of a local date, in order; none if the zone has left it out."""
    midnight = day * DAY // SECOND
    first, last = midnight - _FURTHEST, midnight + DAY // SECOND + _FURTHEST
    found = []
    for begin, end, offset in _even(zone, first, last):
        low = max(begin * SECOND, day * DAY - offset)
        high = min(end * SECOND, (day + 1) * DAY - offset)
        if low < high:
            found.append(Stretch(low, high, offset))
    return tuple(found)


def _even(zone: str, first: int, last: int) -> Iterator[Stretch]:
    """The times of even offset between two moments; all in seconds, but for the offset."""
    begin, offset = first, _offset(first, zone)
    for mark in range(first + _STRIDE, last + _STRIDE, _STRIDE):
        after = _offset(mark, zone)
        if after != offset:
            change = _change(zone, mark - _STRIDE, mark)
            yield Stretch(begin, change, offset)
            begin, offset = change, after
    yield Stretch(begin, last, offset)


def _change(zone: str, before: int, after: int) -> int:
    """The first second of the new offset, between two moments of different offsets."""
    old = _offset(before, zone)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(middle, zone) == old:
            before = middle
        else:
            after = middle
    return after


@lru_cache(2_048)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(8_192)  # mails that are judged together are judged by the same second
def _offset(second: int, zone: str) -> int:
    """The offset of a zone's local time from UTC at a moment (in seconds since the epoch), in microseconds."""
    moment = _EPOCH + timedelta(seconds=second)
    offset = moment.astimezone(_zone(zone)).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * SECOND)
