"""Tracks: the events of an account that rules count, kept once for all rules that want the same types.

A track is a flat list of integers, sorted by time, equal times in order of arrival. Per event it holds a row: `time,
offset, mask`, then the amounts of the columns (millionths or tokens, 0 where nothing counts them). Bit b of the mask
says that the event counts for the rule whose slot the group has at b. What belongs to one rule is picked out when
it is asked for: hardly ever, see `credits`.
"""

from array import array
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from services.rules.engine.windows.series import upto

if TYPE_CHECKING:
    from services.rules.engine.account_state import AccountState

HEAD = 3  # time, offset, mask
RULES = 62  # of a group at most: a mask is stored as a 64-bit integer
NAMES_KEPT = 10_000

Track = list[int]
StoredTrack = tuple[tuple[int, ...], tuple[int, ...], Track]  # slots of the bits in use, columns, rows


class SeriesGroup:
    """Rules that share tracks: their slots by bit, and what the columns are (digests)."""

    __slots__ = ("_names", "columns", "key", "slots", "span", "width")

    def __init__(self, key: int, slots: Mapping[int, int], columns: Iterable[int], span: int = 0) -> None:
        self.key, self.slots, self.columns = key, dict(slots), tuple(columns)
        self.span = span  # the longest window of these rules, microseconds
        self.width = HEAD + len(self.columns)
        self._names: dict[int, tuple[int, ...]] = {}

    def names(self, rows: Track) -> tuple[int, ...]:
        """The slots of the bits that a track uses, by bit."""
        used = reduce(or_, rows[2 :: self.width], 0)
        found = self._names.get(used)
        if found is None:
            if len(self._names) >= NAMES_KEPT:
                self._names.clear()
            found = self._names[used] = tuple(self.slots[bit] for bit in bits(used))
        return found

    def reads(self, other: "SeriesGroup") -> bool:
        """Whether the tracks of the other group mean the same here."""
        if self is other:
            return True
        same = all(self.slots.get(bit) == slot for bit, slot in other.slots.items())
        return same and self.columns == other.columns


class Layout:
    """How the tracks of an account are to be read: the groups by key, and each slot's group and bit."""

    __slots__ = ("groups", "places")

    def __init__(self, groups: Iterable[SeriesGroup] = ()) -> None:
        self.groups = {group.key: group for group in groups}
        self.places = {
            slot: (group, bit) for group in self.groups.values() for bit, slot in group.slots.items()
        }


EMPTY = Layout()


def bits(mask: int) -> list[int]:
    """The places of the ones, lowest first."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def put(rows: Track, width: int, row: tuple[int, ...]) -> None:
    """Insert a row after those of the same time that came before it."""
    place = upto(rows, width, row[0])
    while place and rows[(place - 1) * width] == row[0] and rows[(place - 1) * width + 1] > row[1]:
        place -= 1
    rows[place * width : place * width] = row


def series_of(state: "AccountState", slot: int, column: int | None, first: int) -> "array[int]":
    """A rule's records from the time `first` on: `time, offset` or, with a column, `time, offset, amount`."""
    place = state.laid.places.get(slot)
    rows = state.tracks.get(place[0].key) if place is not None else None
    if place is None or rows is None:
        return array("q")
    return picked(rows, place[0], place[1], column, first)


def picked(rows: Track, group: SeriesGroup, bit: int, column: int | None, first: int) -> "array[int]":
    """The records of one bit."""
    width, one = group.width, 1 << bit
    start = upto(rows, width, first - 1) * width
    masks, times, offsets = rows[start + 2 :: width], rows[start::width], rows[start + 1 :: width]
    if column is None:
        pairs = [(t, o) for t, o, m in zip(times, offsets, masks, strict=True) if m & one]
        return array("q", [each for pair in pairs for each in pair])
    amounts = rows[start + HEAD + group.columns.index(column) :: width]
    records = [(t, o, a) for t, o, m, a in zip(times, offsets, masks, amounts, strict=True) if m & one]
    return array("q", [each for record in records for each in record])


# -- other rules ---------------------------------------------------------------------------------------------------


def fit(state: "AccountState", layout: Layout, parts: Mapping[int, Any]) -> None:
    """Lay an account's tracks out as the rules in force want them.

    What rules counted that now want no track goes to a series of their own, and the other way round.
    """
    old = state.laid
    if old is layout:
        return
    for key in list(state.tracks):
        mine, new = old.groups[key], layout.groups.get(key)
        if new is None or not new.reads(mine):
            _lay_out(state, mine, new, parts)
    state.laid = layout
    for slot in [slot for slot in state.stores if type(slot) is int and slot in layout.places]:
        _absorb(state, slot, parts[slot].kind)


def _lay_out(
    state: "AccountState", old: SeriesGroup, new: SeriesGroup | None, parts: Mapping[int, Any]
) -> None:
    rows = state.tracks.pop(old.key)
    wanted = {slot: bit for bit, slot in new.slots.items()} if new is not None else {}
    moves = []
    for bit, slot in old.slots.items():
        if slot in wanted:
            moves.append((1 << bit, 1 << wanted[slot]))
        elif slot in parts:
            series = picked(rows, old, bit, parts[slot].kind.column, 0)
            if series:
                state.stores[slot] = series
    if new is None or not moves:
        return
    columns = [old.columns.index(c) if c in old.columns else None for c in new.columns]
    fresh: Track = []
    for start in range(0, len(rows), old.width):
        mask = sum(to for bit, to in moves if rows[start + 2] & bit)
        if mask:
            amounts = [0 if c is None else rows[start + HEAD + c] for c in columns]
            fresh += (rows[start], rows[start + 1], mask, *amounts)
    if fresh:
        state.tracks[old.key] = fresh


def _absorb(state: "AccountState", slot: int, member: Any) -> None:
    """A series of one rule joins the track that it shares from now on."""
    series, (group, bit) = state.stores.pop(slot), state.laid.places[slot]
    rows = state.tracks.setdefault(group.key, [])
    column = None if member.column is None else HEAD + group.columns.index(member.column)
    for start in range(0, len(series), member.width):
        time, offset = series[start], series[start + 1]
        place = _row(rows, group.width, time, offset)
        if place is None:
            put(rows, group.width, (time, offset, 0) + (0,) * len(group.columns))
            place = _row(rows, group.width, time, offset)
        assert place is not None  # noqa: S101 - it has just been put there
        rows[place + 2] |= 1 << bit
        if column is not None:
            rows[place + column] = series[start + 2]
    if not rows:
        del state.tracks[group.key]


def _row(rows: Track, width: int, time: int, offset: int) -> int | None:
    """Where the row of an event begins."""
    place = upto(rows, width, time)
    while place and rows[(place - 1) * width] == time:
        place -= 1
        if rows[place * width + 1] == offset:
            return place * width
    return None


# -- housekeeping --------------------------------------------------------------------------------------------------


def drop_old(state: "AccountState", floor: int) -> None:
    """Forget the rows that no window of a check from `floor` on can reach."""
    for key, rows in list(state.tracks.items()):
        group = state.laid.groups[key]
        if rows[0] > floor - group.span:
            continue
        del rows[: upto(rows, group.width, floor - group.span) * group.width]
        state.running.pop(key, None)
        if not rows:
            del state.tracks[key]


def newest_of_each(rows: Track, width: int, count: int, upto_time: int) -> list[int]:
    """Offsets, of rows up to a time, that are among (at least) the newest `count` of one of the rules.

    All rules are counted at once: plane i holds bit i of each rule's number, until it is full.
    """
    if rows[0] > upto_time:
        return []
    if len(rows) <= count * width:
        return rows[1 : upto(rows, width, upto_time) * width : width]
    planes, full, found = [0] * count.bit_length(), 0, []
    for start in range(len(rows) - width, -1, -width):
        carry = rows[start + 2] & ~full
        if not carry:
            continue
        if rows[start] <= upto_time:
            found.append(rows[start + 1])
        for place, plane in enumerate(planes):
            planes[place], carry = plane ^ carry, plane & carry
        full |= carry
    return found


# -- stored --------------------------------------------------------------------------------------------------------


def stored_tracks(state: "AccountState") -> dict[int, StoredTrack]:
    """The tracks, each with what its bits and columns are: rules may be others when it is read."""
    groups = state.laid.groups
    return {
        key: ((group := groups[key]).names(rows), group.columns, rows) for key, rows in state.tracks.items()
    }


def restore(state: "AccountState", tracks: Mapping[int, StoredTrack]) -> None:
    """Take stored tracks; they are to be `fit` before use."""
    groups = []
    for key, (slots, columns, rows) in tracks.items():
        used = bits(reduce(or_, rows[2 :: HEAD + len(columns)], 0))
        groups.append(SeriesGroup(key, dict(zip(used, slots, strict=True)), columns))
        state.tracks[key] = rows
    state.laid = Layout(groups)
