"""On which day of a timezone a quarter hour is."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

QUARTER_S = 900
OF_A_DAY = 96
EPOCH = date(1970, 1, 1).toordinal()
# In between, every moment has a date in every timezone.
_FIRST, _LAST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)


class PartOfQuarter(ValueError):
    """The clocks of a timezone are, or change, a part of a quarter hour away from UTC."""


def offsets(zone: ZoneInfo, first: int, last: int) -> list[tuple[int, int]]:
    """How far a timezone is ahead of UTC between two quarter hours (since the epoch): (from, offset), both in quarters.

    Raises `PartOfQuarter`. Looks once a day, so it misses what is undone within a day.
    """
    found = [(first, _offset(zone, first))]
    for looked in _steps(first, last):
        if _offset(zone, looked) != found[-1][1]:
            at = _change(zone, looked - OF_A_DAY, looked)
            found.append((at, _offset(zone, at)))
    return found


def _steps(first: int, last: int) -> Iterator[int]:
    yield from range(first + OF_A_DAY, last + OF_A_DAY, OF_A_DAY)


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """The first quarter hour with the offset of `after`, which is another one than `before` has."""
    old = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    if _seconds(zone, _moment(after) - timedelta(microseconds=1)) != old * QUARTER_S:
        raise PartOfQuarter
    return after


def _offset(zone: ZoneInfo, quarter: int) -> int:
    whole, rest = divmod(_seconds(zone, _moment(quarter)), QUARTER_S)
    if rest:
        raise PartOfQuarter
    return int(whole)


def _seconds(zone: ZoneInfo, moment: datetime) -> float:
    ahead = min(max(moment, _FIRST), _LAST).astimezone(zone).utcoffset()
    assert ahead is not None  # noqa: S101  it has a timezone
    return ahead.total_seconds()


def _moment(quarter: int) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=quarter * QUARTER_S)
    except OverflowError:
        return _LAST if quarter > 0 else _FIRST


def written(day: int) -> str:
    """A day since the epoch as `2026-12-01`."""
    return date.fromordinal(min(max(EPOCH + day, 1), date.max.toordinal())).isoformat()
