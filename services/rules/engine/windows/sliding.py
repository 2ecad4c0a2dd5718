"""Finds where a window reaches what is needed as it slides along a series: it adds new records and removes old ones."""

from array import array
from collections.abc import Iterator

from services.rules.engine.windows.series import upto


def reaching(
    series: "array[int]", width: int, aggregate: str, places: range, within: int, needed: int
) -> Iterator[int]:
    """The places at whose times the window reaches what is needed: a count, a number of tokens, or millionths."""
    if aggregate == "count":
        for place in places:
            first = _end(series, width, place) - needed
            if first >= 0 and series[first * width] > series[place * width] - within:
                yield place
        return
    low = upto(series, width, series[places.start * width] - within)
    high = places.start
    total = sum(series[low * width + 2 : high * width + 2 : width]) if aggregate == "sum" else 0
    for place in places:
        start, end = series[place * width] - within, _end(series, width, place)
        total += sum(series[high * width + 2 : end * width : width])
        high = end
        while series[low * width] <= start:
            total -= series[low * width + 2]
            low += 1
        if aggregate == "sum":
            if total >= needed:
                yield place
        elif high - low >= needed <= len(set(series[low * width + 2 : high * width : width])):
            yield place


def _end(series: "array[int]", width: int, place: int) -> int:
    """The place after the last record of the same time. Records of one time count together, whenever they came."""
    end, time = place + 1, series[place * width]
    while end * width < len(series) and series[end * width] == time:
        end += 1
    return end
