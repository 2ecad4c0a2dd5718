"""Reads dates and times in attributes, the same for rules, waits and every other reader. Pure.

What is read. Anything else is no date (numbers, `20261122`, week dates, a time without minutes):

    2026-11-22                       00:00 in the account's timezone, else UTC
    2026-11-22T09:00                 that time in the account's timezone, else UTC
    2026-11-22T09:00:00.123          likewise; 1 to 9 digits, kept to the microsecond
    2026-11-22T09:00:00+01:00        with an offset: Z, +01:00, +0100 or +01

A space may replace the T. A local time that is skipped in spring is read as if the clocks had not changed
yet; one that comes twice in autumn is the first of the two.
"""

import re
from datetime import UTC, datetime, timezone
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from schemas.conditions.codegen import same
from schemas.event import microseconds

FORMS = (  # for descriptions of fields
    "`2026-11-22` (00:00 in the account's timezone, else UTC), `2026-11-22T09:00` (there), or a time with an offset"
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d(:?\d\d)?)?)?", re.ASCII)


def date_of(value: object, zone: str | None) -> datetime | None:
    """The time that an attribute names, with its timezone or offset; `zone` is the account's. None: no date."""
    if type(value) is not str or _DATE.fullmatch(value) is None:
        return None
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:  # such as the 31st of February
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone_of(zone))


def moment_of(value: object, zone: str | None) -> int | None:
    """The same in microseconds since the epoch, exact."""
    moment = date_of(value, zone)
    return None if moment is None else microseconds(moment)


@lru_cache(maxsize=1024)
def zone_of(name: str | None) -> ZoneInfo | timezone:
    """The timezone of that name, else UTC."""
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):  # no such zone, or no name of one
        return UTC


def unchanged(before: Any, after: Any, zone: str | None) -> bool:
    """Whether two values of an attribute are equal: 1 and 1.0 are, and so are two spellings of one date."""
    if same(before, after):
        return True
    moment = moment_of(before, zone)
    return moment is not None and moment == moment_of(after, zone)
