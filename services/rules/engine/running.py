"""Windows that slide along with events in order: each record enters once and leaves once.

`state.running` holds them by subject, not stored: a missing one is made anew from the records. Whoever changes the
records otherwise drops it.
"""

from array import array
from collections.abc import Iterator

from services.rules.engine.state import AccountState, SubjectKey
from services.rules.engine.windows import upto

WIDTH = 3
SHORT = 8 * WIDTH  # so few records are summed as quickly as a window is kept


def sums(state: AccountState, key: SubjectKey, series: "array[int]", start: int, amount: int) -> int:
    """The sum after `start`, where the last record (of `amount`) has just been appended."""
    window = state.running.get(key)
    total: int
    if window is None:
        low = upto(series, WIDTH, start) * WIDTH if series[0] <= start else 0
        total = sum(series[low + 2 :: WIDTH])
        if len(series) > SHORT:
            state.running[key] = [low, total]
        return total
    low, total = window
    total += amount
    while series[low] <= start:
        total -= series[low + 2]
        low += WIDTH
    window[0], window[1] = low, total
    return total


def counts(state: AccountState, key: SubjectKey, series: "array[int]", start: int, token: int) -> int:
    """How many distinct tokens there are after `start`, where the last record has just been appended."""
    window = state.running.get(key)
    if window is None:
        low = upto(series, WIDTH, start) * WIDTH
        number: dict[int, int] = {}
        for one in series[low + 2 :: WIDTH]:
            number[one] = number.get(one, 0) + 1
        state.running[key] = [low, number]
        return len(number)
    low, number = window
    number[token] = number.get(token, 0) + 1
    while series[low] <= start:
        gone = series[low + 2]
        low += WIDTH
        if number[gone] == 1:
            del number[gone]
        else:
            number[gone] -= 1
    window[0] = low
    return len(number)


def put(state: AccountState, key: SubjectKey, aggregate: str, place: int, amount: int) -> None:
    """A record was inserted at `place`: a window that slides along takes it in, if it lies within."""
    window = state.running.get(key)
    if window is None:
        return
    if place * WIDTH < window[0]:
        window[0] += WIDTH
    elif aggregate == "sum":
        window[1] += amount
    else:
        window[1][amount] = window[1].get(amount, 0) + 1


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
