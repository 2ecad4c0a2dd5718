"""Shared series: the events of an account that rules count, kept once for all rules that want the same types.

A shared series is a flat list of integers, sorted by time; equal times stay in order of arrival. It has a row per
event: `time, offset, mask`, then an amount per column. Times are microseconds since the epoch, and offsets are
places in the partition's log. Amounts are millionths (of a sum) or tokens (63-bit digests of distinct values), and
0 where no rule counts one. Bit b of the mask says that the event counts for the rule whose slot the rule group has
at b. The records of a single rule are picked out on demand, which hardly ever happens: see `slack`.

    group: slots {0: opens, 1: exports}, columns (what opens sums up), so 4 integers a row
    [t1, offset1, 0b01, 2_000_000,   t2, offset2, 0b11, 500_000,   ...]

Functions take an account's series by group key (`shared`) and the layout that the series are kept in.
"""

from array import array
from collections.abc import Iterable, Mapping, MutableMapping
from functools import reduce
from operator import or_
from typing import Any

from services.rules.engine.windows.series import upto

TIME, OFFSET, MASK = 0, 1, 2  # places in a row
HEAD = 3  # integers in a row before its amounts
RULES = 62  # in a rule group at most: a mask is stored as a 64-bit integer
FEW_ROWS = 16  # a series with fewer rows may do without slack, see `slack`
NAMES_KEPT = 10_000

SharedSeries = list[int]
Row = tuple[int, ...]  # one row of a shared series
# slots of the bits in use, columns, rows
StoredSeries = tuple[tuple[int, ...], tuple[int, ...], SharedSeries]


class SeriesGroup:
    """Rules that share series: their slots by bit, and the columns (digests of an aggregate and its path)."""

    __slots__ = ("_names", "columns", "key", "slots", "span", "width")

    def __init__(self, key: int, slots: Mapping[int, int], columns: Iterable[int], span: int = 0) -> None:
        self.key, self.slots, self.columns = key, dict(slots), tuple(columns)
        self.span = span  # the longest window of these rules, microseconds
        self.width = HEAD + len(self.columns)
        self._names: dict[int, tuple[int, ...]] = {}

    def names(self, rows: SharedSeries) -> tuple[int, ...]:
        """The slots of the bits that a series uses, lowest bit first."""
        used = reduce(or_, rows[MASK :: self.width], 0)
        found = self._names.get(used)
        if found is None:
            if len(self._names) >= NAMES_KEPT:
                self._names.clear()
            found = self._names[used] = tuple(self.slots[bit] for bit in bits(used))
        return found

    def place_of(self, column: int) -> int:
        """The place of a column's amounts in a row."""
        return HEAD + self.columns.index(column)

    def reads(self, other: "SeriesGroup") -> bool:
        """Whether the other group's series mean the same in this group."""
        if self is other:
            return True
        same = all(self.slots.get(bit) == slot for bit, slot in other.slots.items())
        return same and self.columns == other.columns


class Layout:
    """How to read an account's shared series: the rule groups by key, and the group and bit of each slot."""

    __slots__ = ("groups", "places")

    def __init__(self, groups: Iterable[SeriesGroup] = ()) -> None:
        self.groups = {group.key: group for group in groups}
        self.places = {
            slot: (group, bit) for group in self.groups.values() for bit, slot in group.slots.items()
        }


EMPTY = Layout()  # no rules share anything


def bits(mask: int) -> list[int]:
    """The positions of the 1 bits, lowest first."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def put(rows: SharedSeries, width: int, row: Row) -> None:
    """Insert a row after those that came before it with the same time."""
    place = upto(rows, width, row[TIME])
    while (
        place and rows[(place - 1) * width] == row[TIME] and rows[(place - 1) * width + OFFSET] > row[OFFSET]
    ):
        place -= 1
    rows[place * width : place * width] = row


def series_of(
    shared: Mapping[int, SharedSeries], layout: Layout, slot: int, column: int | None, first: int
) -> "array[int]":
    """A rule's records from the time `first` on: `time, offset`, or with a column `time, offset, amount`."""
    place = layout.places.get(slot)
    rows = shared.get(place[0].key) if place is not None else None
    if place is None or rows is None:
        return array("q")
    return _picked(rows, place[0], place[1], column, first)


def _picked(rows: SharedSeries, group: SeriesGroup, bit: int, column: int | None, first: int) -> "array[int]":
    """The records of one bit from the time `first` on."""
    width, one = group.width, 1 << bit
    start = upto(rows, width, first - 1) * width
    times, offsets, masks = (rows[start + place :: width] for place in (TIME, OFFSET, MASK))
    if column is None:
        pairs = [(t, o) for t, o, m in zip(times, offsets, masks, strict=True) if m & one]
        return array("q", [each for pair in pairs for each in pair])
    amounts = rows[start + group.place_of(column) :: width]
    records = [(t, o, a) for t, o, m, a in zip(times, offsets, masks, amounts, strict=True) if m & one]
    return array("q", [each for record in records for each in record])


# -- other rules ---------------------------------------------------------------------------------------------------


def refit(
    shared: dict[int, SharedSeries],
    own: MutableMapping[Any, "array[int]"],
    old: Layout,
    new: Layout,
    columns: Mapping[int, int | None],
) -> None:
    """Convert an account's series from one layout to another, for the rules that are now in force.

    Changes `shared` and `own` (the series of single rules, by subject). A rule that no longer shares a series gets its
    records in a series of its own, and the other way round. `columns` has the column of each threshold by its slot. The
    records of deleted rules are dropped.
    """
    if old is new:
        return
    for key in list(shared):
        before, after = old.groups[key], new.groups.get(key)
        if after is None or not after.reads(before):
            rows = shared.pop(key)
            _part(rows, own, before, after, columns)
            moved = _moved(rows, before, after) if after is not None else []
            if moved:
                shared[key] = moved
    for slot in [slot for slot in own if type(slot) is int and slot in new.places]:
        _absorb(shared, own.pop(slot), *new.places[slot], columns[slot])


def _part(
    rows: SharedSeries,
    own: MutableMapping[Any, "array[int]"],
    before: SeriesGroup,
    after: SeriesGroup | None,
    columns: Mapping[int, int | None],
) -> None:
    """Give the rules that leave a group their records."""
    stay = set(after.slots.values()) if after is not None else set()
    for bit, slot in before.slots.items():
        if slot in columns and slot not in stay:
            series = _picked(rows, before, bit, columns[slot], 0)
            if series:
                own[slot] = series


def _moved(rows: SharedSeries, before: SeriesGroup, after: SeriesGroup) -> SharedSeries:
    """The rows with the bits and columns of another group; rows that count for none of its rules are left out."""
    wanted = {slot: bit for bit, slot in after.slots.items()}
    moves = [(1 << bit, 1 << wanted[slot]) for bit, slot in before.slots.items() if slot in wanted]
    places = [before.place_of(c) if c in before.columns else None for c in after.columns]
    moved: SharedSeries = []
    for start in range(0, len(rows), before.width):
        mask = sum(to for bit, to in moves if rows[start + MASK] & bit)
        if mask:
            amounts = [0 if place is None else rows[start + place] for place in places]
            moved += (rows[start + TIME], rows[start + OFFSET], mask, *amounts)
    return moved


def _absorb(
    shared: dict[int, SharedSeries], series: "array[int]", group: SeriesGroup, bit: int, column: int | None
) -> None:
    """Move a single rule's series into the one that it shares from now on."""
    rows = shared.setdefault(group.key, [])
    amount_at = None if column is None else group.place_of(column)
    for start in range(0, len(series), 2 if column is None else 3):
        time, offset = series[start], series[start + 1]
        place = _row_of(rows, group.width, time, offset)
        if place is None:
            put(rows, group.width, (time, offset, 0) + (0,) * len(group.columns))
            place = _row_of(rows, group.width, time, offset)
        assert place is not None  # noqa: S101 - it has just been put there
        rows[place + MASK] |= 1 << bit
        if amount_at is not None:
            rows[place + amount_at] = series[start + 2]
    if not rows:
        del shared[group.key]


def _row_of(rows: SharedSeries, width: int, time: int, offset: int) -> int | None:
    """The place where an event's row begins, or None if it has no row."""
    place = upto(rows, width, time)
    while place and rows[(place - 1) * width] == time:
        place -= 1
        if rows[place * width + OFFSET] == offset:
            return place * width
    return None


# -- eviction ------------------------------------------------------------------------------------------------------


def drop_old(shared: dict[int, SharedSeries], layout: Layout, floor: int) -> list[int]:
    """Forget the rows that no window can reach when it is checked at `floor` or later.

    Returns the keys of series with few rows left, whose slack is no longer kept up to date.
    """
    short = []
    for key, rows in list(shared.items()):
        group = layout.groups[key]
        if rows[TIME] > floor - group.span:
            continue
        del rows[: upto(rows, group.width, floor - group.span) * group.width]
        if len(rows) < FEW_ROWS * group.width:
            short.append(key)
        if not rows:
            del shared[key]
    return short


def newest_of_each(rows: SharedSeries, width: int, count: int, upto_time: int) -> list[int]:
    """Offsets of rows up to a time that are among the newest `count` of at least one rule; there may be more of them.

    All rules are counted at once: plane i holds bit i of each rule's number until it is full.
    """
    if rows[TIME] > upto_time:
        return []
    if len(rows) <= count * width:
        return rows[OFFSET : upto(rows, width, upto_time) * width : width]
    planes, full, found = [0] * count.bit_length(), 0, []
    for start in range(len(rows) - width, -1, -width):
        carry = rows[start + MASK] & ~full
        if not carry:
            continue
        if rows[start] <= upto_time:
            found.append(rows[start + OFFSET])
        for place, plane in enumerate(planes):
            planes[place], carry = plane ^ carry, plane & carry
        full |= carry
    return found


# -- stored --------------------------------------------------------------------------------------------------------


def to_stored(shared: Mapping[int, SharedSeries], layout: Layout) -> dict[int, StoredSeries]:
    """The series, each with its slots and columns, since the rules may be others when it is read."""
    groups = layout.groups
    return {key: ((group := groups[key]).names(rows), group.columns, rows) for key, rows in shared.items()}


def from_stored(stored: Mapping[int, StoredSeries]) -> tuple[dict[int, SharedSeries], Layout]:
    """Stored series and the layout they are kept in. `refit` them to the rules in force before use."""
    groups = []
    for key, (slots, columns, rows) in stored.items():
        used = bits(reduce(or_, rows[MASK :: HEAD + len(columns)], 0))
        groups.append(SeriesGroup(key, dict(zip(used, slots, strict=True)), columns))
    return {key: rows for key, (_, _, rows) in stored.items()}, Layout(groups)
