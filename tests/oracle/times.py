"""Times in integer microseconds (us) since the epoch, and durations as the contract spells them."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
LATE = 7 * DAY
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}


def to_us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def parse_time(text: str) -> int:
    """The time in us of an RFC 3339 text with an offset."""
    return to_us(datetime.fromisoformat(text.replace("Z", "+00:00")))


def format_time(us: int) -> str:
    return from_us(us).isoformat().replace("+00:00", "Z")


def span(text: str) -> int:
    """The length in us of a fixed duration (`90s` ... `2w`)."""
    return int(text[:-1]) * _UNITS[text[-1]]


def midnights(after: int, until: int) -> list[int]:
    """Every 00:00 UTC in (after, until], in us."""
    first = after // DAY + 1
    return [day * DAY for day in range(first, until // DAY + 1)]


def attribute_moment(value: object, timezone: str | None) -> datetime | None:
    """The instant that an attribute names; None if it is no date.

    A bare date means 00:00. It and a time without an offset are taken in the account's timezone.
    """
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d($|[T ]\d\d:)", value):
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone or "UTC"))


def shifted(moment: datetime, duration: str, times: int) -> int:
    """`moment` moved by `times` x duration, in us; months and years follow the calendar, clamped to its days."""
    match = re.fullmatch(r"(\d+)(mo|y|[smhdw])", duration)
    assert match, duration
    count, unit = int(match[1]) * times, match[2]
    if unit not in {"mo", "y"}:
        return to_us(moment) + count * _UNITS[unit]
    months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return to_us(moment.replace(year=year, month=month + 1, day=day))
