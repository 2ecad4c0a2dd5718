"""Computes the times that lie a span before or after a date."""

from datetime import datetime

from schemas.duration import CalendarDuration
from schemas.event import microseconds

Span = int | CalendarDuration


def moment(start: datetime, span: Span, times: int) -> int | None:
    """`start` plus `times` times the span, in microseconds; None outside the years 1 to 9999."""
    if isinstance(span, int):
        return microseconds(start) + span * times
    try:
        return microseconds(span.after(start, times))
    except (OverflowError, ValueError):
        return None


def first_after(start: datetime, span: Span, sign: int, *, repeat: bool, time: int) -> int | None:
    """The first moment `start + sign·n·span` after `time`, or None.

    n is 1, or with `repeat` any larger number too.
    """
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


def span_at(start: datetime, span: Span, sign: int, *, repeat: bool, time: int) -> int | None:
    """The latest moment up to `time` whose span has not ended by then, or None.

    The span before a date ends at the date, the one after it is as long again; both ends are included.
    """
    n = _count_to(start, span, sign, time) if repeat else 1
    at = moment(start, span, sign * n)
    end = moment(start, span, n + 1 if sign > 0 else 0)
    return at if at is not None and end is not None and at <= time <= end else None


def _count_to(start: datetime, span: Span, sign: int, time: int) -> int:
    """The n of the latest moment up to `time`; 1 if there is none."""
    n = max(1, _guess(start, span, sign, time))
    if sign > 0:
        while (at := moment(start, span, n + 1)) is not None and at <= time:
            n += 1
        return n
    while n > 1 and ((at := moment(start, span, 1 - n)) is None or at <= time):
        n -= 1
    return n


def _guess(start: datetime, span: Span, sign: int, time: int) -> int:
    """An n whose moment is at or just before `time` (going forward), or just before it (going back)."""
    gap = (time - microseconds(start)) * sign
    length = span if isinstance(span, int) else span.months * 28 * 86_400_000_000
    longest = span if isinstance(span, int) else span.months * 31 * 86_400_000_000
    return gap // max(1, longest) if sign > 0 else gap // max(1, length) + 1
