"""Numbers, durations and times as people write them. Pure.

number(1234.5)              1,234.5
counted(12, "event")        12 events
span("30d")                 30 days
moment("2026-01-31T09:00Z") 31 January 2026, 09:00 UTC
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from schemas.event import from_microseconds

UNITS = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"
}  # fmt: skip
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w|mo|y)", re.ASCII)
_LENGTHS = (("day", 86_400_000_000), ("hour", 3_600_000_000), ("minute", 60_000_000), ("second", 1_000_000))


def number(value: float, against: float | None = None) -> str:
    """A number with thousands apart and at most two decimals; more where it would look like `against` and is not."""
    if value == int(value):
        return f"{int(value):,}"
    for digits in range(2, 7):
        rounded = round(value, digits)
        if rounded != 0 and rounded != against:
            break
    return f"{rounded:,}" if rounded != int(rounded) else f"{int(rounded):,}"


def exact(value: float) -> str:
    """A number with thousands apart and all its digits."""
    text = f"{Decimal(repr(value)):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def counted(value: float, one: str, many: str | None = None) -> str:
    """A number and what is counted, in the singular or the plural (default: with an s)."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def span(text: str) -> str:
    """A duration as rules write it, in words; anything else as it stands."""
    found = _DURATION.fullmatch(text)
    return text if found is None else counted(int(found[1]), UNITS[found[2]])


def length(us: int) -> str:
    """A span of microseconds in the largest unit that it is a whole number of, else in seconds."""
    for unit, size in _LENGTHS:
        if us >= size and us % size == 0:
            return counted(us // size, unit)
    return counted(round(us / 1_000_000), "second")


def moment(at: int | str) -> str:
    """A moment (microseconds, or RFC 3339) as its day and minute in UTC."""
    time = from_microseconds(at) if isinstance(at, int) else datetime.fromisoformat(at).astimezone(UTC)
    return f"{time.day} {MONTHS[time.month - 1]} {time.year}, {time:%H:%M} UTC"


def capital(text: str, *, small: bool = False) -> str:
    """The text with a capital first, or with a small letter."""
    return (text[0].lower() if small else text[0].upper()) + text[1:]


def listed(words: Any, last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, end = [str(word) for word in words]
    return f"{', '.join(first)} {last} {end}" if first else end
