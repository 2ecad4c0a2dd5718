"""Series of counted events: flat arrays of 64-bit integers, sorted by time; equal times stay in order of arrival.

A record is `time, offset` or `time, offset, amount`: microseconds, the offset in the partition's log, and
millionths (for distinct values, a 63-bit digest). Everything is a slice or a binary search. `width` is the length
of a record.
"""

from array import array
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from services.rules.engine.windows.fixed_point import MILLION, Value

DAY = 86_400_000_000
Series = array  # type code "q"
FOREVER = 1 << 62  # a time after all times

WIDTHS = {"count": 2, "days": 2, "sum": 3, "avg": 3, "min": 3, "max": 3, "distinct": 3}
_TOKENS: dict[Any, int] = {}
_TOKENS_KEPT = 100_000


def upto(series: Sequence[int], width: int, time: int) -> int:
    """The number of records with a time of at most `time`."""
    high = len(series) // width
    if not high or series[(high - 1) * width] <= time:
        return high
    low = 0
    while low < high:
        middle = (low + high) >> 1
        if series[middle * width] <= time:
            low = middle + 1
        else:
            high = middle
    return low


def insert(series: "array[int]", width: int, record: "array[int]") -> int:
    """Insert a record after those with the same time; returns its place."""
    place = upto(series, width, record[0])
    series[place * width : place * width] = record
    return place


def drop_before(series: "array[int]", width: int, time: int) -> None:
    """Forget the records before `time`."""
    gone = upto(series, width, time - 1)
    if gone:
        del series[: gone * width]


def token(value: Any) -> int | None:
    """The hash of a scalar, for counting distinct values; None if it is no scalar.

    Types are told apart, except that 1 is the same as 1.0.
    """
    kind = type(value)
    if kind not in (str, int, float, bool):
        return None
    key = (value,) if kind is bool else value
    found = _TOKENS.get(key)
    if found is None:
        if kind is float and value == int(value):  # never NaN or infinite: JSON has none
            value = int(value)
        text = value if kind is str else repr(value)
        tag = b"s" if kind is str else b"b" if kind is bool else b"n"
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=tag).digest()
        found = int.from_bytes(digest, "big") >> 1
        if len(_TOKENS) >= _TOKENS_KEPT:
            _TOKENS.clear()
        _TOKENS[key] = found
    return found


known_token = _TOKENS.get  # the token of a text that was seen lately: quicker than calling `token`


def days_between(series: "array[int]", width: int, low: int, high: int) -> int:
    """The number of distinct UTC days among the records [low, high); takes one search per day."""
    days = 0
    while high > low:
        days += 1
        day = series[(high - 1) * width] // DAY
        high = upto_within(series, width, day * DAY - 1, low, high)
    return days


def upto_within(series: "array[int]", width: int, time: int, low: int, high: int) -> int:
    """Like `upto`, but searches only between two places."""
    while low < high:
        middle = (low + high) >> 1
        if series[middle * width] <= time:
            low = middle + 1
        else:
            high = middle
    return low


def measure(aggregate: str, series: "array[int]", width: int, low: int, high: int) -> Value | None:
    """The exact value of the records [low, high); None if there is none (avg, min or max of nothing)."""
    match aggregate:
        case "count":
            return Value(high - low, 1)
        case "days":
            return Value(days_between(series, width, low, high), 1)
    amounts = series[low * width + 2 : high * width : width] if high > low else array("q")
    match aggregate:
        case "sum":
            return Value(sum(amounts), MILLION)
        case "distinct":
            return Value(len(set(amounts)), 1)
    if not amounts:
        return None
    match aggregate:
        case "avg":
            return Value(sum(amounts), len(amounts) * MILLION)
        case "min":
            return Value(min(amounts), MILLION)
    return Value(max(amounts), MILLION)
