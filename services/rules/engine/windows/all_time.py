"""Aggregates over all time: the newest records are kept as they are; once they are many, older ones are folded.

Folded records become an `AllTimeBase`. While records are few they are all kept, because a rule may be given a
window later and must then be exact.
"""

from array import array

import msgspec

from services.rules.engine.account_state import SubjectKey
from services.rules.engine.kind_state import KindState
from services.rules.engine.windows.fixed_point import MILLION, Value
from services.rules.engine.windows.series import DAY, measure, upto

KEPT = 1024  # old records that stay unfolded


class AllTimeBase(KindState):
    """The folded old records of an all-time aggregate: their number and sum, extremes, and distinct tokens or days."""

    count: int = 0
    total: str = "0"  # millionths, as text, because it may exceed 64 bits
    low: int = 0
    high: int = 0
    tokens: list[int] = msgspec.field(default_factory=list)
    mark: int = 0  # with `since`: the time of the event from which these were counted

    def forget(self, contact: str) -> None:
        """Nothing to forget: the state holds no contact."""


def combined(
    aggregate: str, base: AllTimeBase | None, series: "array[int]", width: int, low: int, high: int
) -> Value | None:
    """The value of the folded records together with the records at [low, high)."""
    if base is None or base.count == 0:
        return measure(aggregate, series, width, low, high)
    if aggregate == "count":
        return Value(base.count + high - low, 1)
    if aggregate in ("distinct", "days"):
        return Value(len(set(base.tokens).union(_tokens(aggregate, series, width, low, high))), 1)
    amounts = series[low * width + 2 : high * width : width] if high > low else array("q")
    total = int(base.total) + sum(amounts)
    match aggregate:
        case "sum":
            return Value(total, MILLION)
        case "avg":
            return Value(total, (base.count + len(amounts)) * MILLION)
        case "min":
            return Value(min(base.low, *amounts) if amounts else base.low, MILLION)
    return Value(max(base.high, *amounts) if amounts else base.high, MILLION)


def fold(
    bases: dict[SubjectKey, AllTimeBase],
    key: SubjectKey,
    aggregate: str,
    series: "array[int]",
    width: int,
    floor: int,
    mark: int | None,
    length: int | None,
) -> None:
    """Fold the records before `floor`, except for the newest `KEPT` of them.

    With `since`, `mark` is the last `since` event before `floor`. Nothing before it, nor more than `length` after
    it, can count again, and a base that was counted from an earlier event is void.
    """
    if mark is not None:
        gone = upto(series, width, mark - 1)
        del series[: gone * width]
        if key in bases and bases[key].mark != mark:
            del bases[key]
    count = upto(series, width, floor - 1) - KEPT
    if count <= 0:
        return
    last = count if mark is None or length is None else upto(series, width, mark + length)
    _fold(bases.setdefault(key, AllTimeBase(mark=mark or 0)), aggregate, series, width, min(count, last))
    del series[: count * width]


def _fold(base: AllTimeBase, aggregate: str, series: "array[int]", width: int, count: int) -> None:
    if count <= 0:
        return
    if aggregate in ("distinct", "days"):
        base.tokens = sorted(set(base.tokens).union(_tokens(aggregate, series, width, 0, count)))
    elif width == 3:
        amounts = series[2 : count * width : width]
        base.low = min(amounts) if base.count == 0 else min(base.low, *amounts)
        base.high = max(amounts) if base.count == 0 else max(base.high, *amounts)
        base.total = str(int(base.total) + sum(amounts))
    base.count += count


def _tokens(aggregate: str, series: "array[int]", width: int, low: int, high: int) -> list[int]:
    if aggregate == "days":
        return [time // DAY for time in series[low * width : high * width : width]]
    return list(series[low * width + 2 : high * width : width])
