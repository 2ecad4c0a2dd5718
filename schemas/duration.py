"""Durations as people write them: `90s`, `15m`, `12h`, `30d`, `2w`; in date rules also `3mo`, `1y`.

Inside the code a plain duration is an integer of microseconds. Months and years have no fixed length, so they
stay a `CalendarDuration` until they are added to a civil date (clamped to the month's end).
"""

import calendar
import re
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

_UNITS = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
UNITS_US = [(unit, size) for unit, size in reversed(_UNITS.items()) if unit != "w"]
_MONTHS = {"mo": 1, "y": 12}
_SHAPE = re.compile(r"([0-9]{1,9})(s|m|h|d|w|mo|y)", re.ASCII)

MAX_US = 36_500 * _UNITS["d"]  # a hundred years: longer than any plan, and short enough for exact sums


class CalendarDuration(NamedTuple):
    """A span of whole months; its length depends on the date that it is counted from."""

    months: int

    def after(self, moment: datetime, times: int = 1) -> datetime:
        """`moment` plus `times` this span in civil time, the day clamped to the month's end; negative: back.

        Raises `OverflowError` outside the years 1 to 9999.
        """
        total = moment.year * 12 + moment.month - 1 + self.months * times
        year, month = divmod(total, 12)
        if not 1 <= year <= 9999:
            raise OverflowError(f"the year {year} cannot be reckoned with")
        last = calendar.monthrange(year, month + 1)[1]
        return moment.replace(year=year, month=month + 1, day=min(moment.day, last))


def parse_duration(text: str) -> int:
    """Microseconds of a duration without months and years. Raises `ValueError` for anything else."""
    parsed = parse_calendar(text)
    if isinstance(parsed, CalendarDuration):
        raise ValueError("months and years are for date rules only; use s, m, h, d or w")
    return parsed


def parse_calendar(text: str) -> int | CalendarDuration:
    """As `parse_duration`, but `3mo` and `1y` become a `CalendarDuration`."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise ValueError("must be a number and a unit: 90s, 15m, 12h, 30d or 2w (in date rules also 3mo, 1y)")
    count, unit = int(found[1]), found[2]
    if unit in _MONTHS:
        months = count * _MONTHS[unit]
        if months > 1200:
            raise ValueError("must be at most 100 years")
        return CalendarDuration(months)
    span = count * _UNITS[unit]
    if span > MAX_US:
        raise ValueError("must be at most 100 years")
    return span


def _invalid(error: ValueError) -> PydanticCustomError:
    return PydanticCustomError("duration", "{why}", {"why": str(error)})


def _plain(text: str) -> str:
    try:
        span = parse_duration(text)
    except ValueError as error:
        raise _invalid(error) from error
    if span == 0:
        raise PydanticCustomError("duration", "must be longer than nothing")
    return text


def _calendar(text: str) -> str:
    try:
        parse_calendar(text)
    except ValueError as error:
        raise _invalid(error) from error
    return text


def _cooldown(text: str) -> str:
    if text == "once":
        return text
    try:
        parse_duration(text)
    except ValueError as error:
        raise PydanticCustomError("duration", '{why}, or "once"', {"why": str(error)}) from error
    return text


PLAIN_PATTERN = "^[0-9]{1,9}(s|m|h|d|w)$"
_CALENDAR_PATTERN = "^[0-9]{1,9}(s|m|h|d|w|mo|y)$"

Duration = Annotated[
    str,
    AfterValidator(_plain),
    Field(strict=True, examples=["30d"], json_schema_extra={"pattern": PLAIN_PATTERN}),
]
DateDuration = Annotated[
    str,
    AfterValidator(_calendar),
    Field(strict=True, examples=["3mo"], json_schema_extra={"pattern": _CALENDAR_PATTERN}),
]
Cooldown = Annotated[
    str,
    AfterValidator(_cooldown),
    Field(strict=True, examples=["30d"], json_schema_extra={"pattern": "^(once|[0-9]{1,9}(s|m|h|d|w))$"}),
]
