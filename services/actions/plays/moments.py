"""Dates and times as they stand in attributes, and RFC 3339 texts, as microseconds since the epoch. Pure."""

import re
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.event import microseconds

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def instant(text: str) -> int:
    """The moment of an RFC 3339 text. Raises ValueError for what is none."""
    return microseconds(datetime.fromisoformat(text))


def moment_of(value: Any, timezone: str | None) -> int | None:
    """The moment that an attribute stands for; None for what is neither a date nor a time.

    A bare date means 00:00 in `timezone` (else UTC), and so does a time without an offset that time there.
    """
    if not isinstance(value, str):
        return None
    try:
        if _DATE.match(value):
            day = date.fromisoformat(value)
            moment = datetime(day.year, day.month, day.day, tzinfo=zone(timezone))
        else:
            moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone(timezone))
        return microseconds(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def zone(name: str | None) -> tzinfo:
    """The timezone of that name, else UTC."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
