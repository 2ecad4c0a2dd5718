"""Dates that accounts carry, and the moments a span before or after them."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.duration import CalendarDuration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_BARE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
Span = int | CalendarDuration


def microseconds(moment: datetime) -> int:
    """Microseconds since the epoch, exact."""
    return (moment - _EPOCH) // _US


def anchor(value: object, zone: str | None) -> datetime | None:
    """The moment that an attribute names; a bare date is 00:00 in `zone` (else UTC). None: no date."""
    if type(value) is not str:
        return None
    try:
        if _BARE.fullmatch(value):
            day = date.fromisoformat(value)
            return datetime(day.year, day.month, day.day, tzinfo=_zone(zone))
        if _TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper().replace(" ", "T"))
    except ValueError:
        return None
    return None


@lru_cache(maxsize=1024)
def _zone(name: str | None) -> ZoneInfo | timezone:
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):  # no such zone, or no name of one
        return UTC


def moment(start: datetime, span: Span, times: int) -> int | None:
    """`start` plus `times` the span in microseconds; None beyond the years 1 to 9999."""
    if isinstance(span, int):
        return microseconds(start) + span * times
    try:
        return microseconds(span.after(start, times))
    except (OverflowError, ValueError):
        return None


def first_after(start: datetime, span: Span, sign: int, *, repeat: bool, time: int) -> int | None:
    """The first moment `start + sign·n·span` (n = 1, with `repeat` also more) later than `time`; None: none."""
    if not repeat:
        only = moment(start, span, sign)
        return only if only is not None and only > time else None
    n = max(1, _guess(start, span, sign, time))
    if sign > 0:
        while (at := moment(start, span, n)) is not None and at <= time:
            n += 1
        return at
    while (at := moment(start, span, -n)) is not None and at <= time and n > 0:
        n -= 1
    return at if n > 0 else None


def _guess(start: datetime, span: Span, sign: int, time: int) -> int:
    """A count at which the moment is at or just before `time` (going forward), or just before it (going back)."""
    gap = (time - microseconds(start)) * sign
    length = span if isinstance(span, int) else span.months * 28 * 86_400_000_000
    longest = span if isinstance(span, int) else span.months * 31 * 86_400_000_000
    return gap // max(1, longest) if sign > 0 else gap // max(1, length) + 1
