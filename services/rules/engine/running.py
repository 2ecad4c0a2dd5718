"""Where a window reaches what is needed, along a series: what slides in adds, what slides out goes."""

from array import array
from collections.abc import Iterator

from services.rules.engine.windows import upto


def reaching(
    series: "array[int]", width: int, aggregate: str, places: range, within: int, needed: int
) -> Iterator[int]:
    """Those places at whose time the window reaches what is needed: a count, a number of tokens, or millionths."""
    if aggregate == "count":
        for place in places:
            first = place + 1 - needed
            if first < 0 or series[first * width] <= series[place * width] - within:
                continue
            yield place
        return
    low = upto(series, width, series[places.start * width] - within)
    total = sum(series[low * width + 2 : places.start * width + 2 : width]) if aggregate == "sum" else 0
    for place in places:
        start = series[place * width] - within
        total += series[place * width + 2]
        while series[low * width] <= start:
            total -= series[low * width + 2]
            low += 1
        if aggregate == "sum":
            if total >= needed:
                yield place
        elif place + 1 - low >= needed <= len(set(series[low * width + 2 : (place + 1) * width : width])):
            yield place
