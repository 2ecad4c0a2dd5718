"""Reads counts: those that are kept, what is to be added to them, and, where a bound is within a quarter hour, the rows
of that part of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Subquery,
    Table,
    case,
    cast,
    func,
    literal,
    select,
    union_all,
)

from backbone.errors import Invalid
from backbone.stats import days
from backbone.stats.counted import EARLIER, QUARTER_US, Counted, StatsTables

DAY = "day"
MOST_ITEMS = 10_000
MOST_DAYS = 3_660  # between the first and the last of what is split by day


@dataclass(frozen=True)
class Period:
    """Moments in microseconds, `end` excluded; null: as far as there are counts."""

    start: int | None
    end: int | None

    @property
    def first(self) -> int | None:
        """The quarter hour in which it starts."""
        return None if self.start is None else self.start // QUARTER_US

    @property
    def last(self) -> int | None:
        """The quarter hour in which it ends."""
        return None if self.end is None else self.end // QUARTER_US

    @property
    def empty(self) -> bool:
        """Whether no moment is in it."""
        return self.start is not None and self.end is not None and self.start >= self.end


def read_counts(
    conn: Connection,
    tables: StatsTables,
    counted: Counted,
    by: Sequence[str],
    period: Period,
    zone: ZoneInfo,
) -> list[dict[str, Any]]:
    """One item for each combination that has rows: the values of `by`, and `n`. Sorted by the values.

    `conn` has to read one state of the database for all statements. Raises `Invalid` where there are too many items,
    and for a timezone without whole quarter hours.
    """
    if period.empty:
        return [] if by else [{"n": 0}]
    rows = _rows(tables, counted, period)
    cells = [_day(conn, tables, counted, period, zone, rows) if name == DAY else rows.c[name] for name in by]
    labelled = [cell.label(f"by_{place}") for place, cell in enumerate(cells)]
    number = cast(func.coalesce(func.sum(rows.c.n), 0), BigInteger).label("n")
    query = select(*labelled, number).group_by(*cells) if by else select(number)
    if by:
        query = query.having(func.sum(rows.c.n) != 0).limit(MOST_ITEMS + 1)
    found = [tuple(row) for row in conn.execute(query)]
    if len(found) > MOST_ITEMS:
        raise _refused("by", f"gives more than {MOST_ITEMS:,} items: leave one out, or give after and before")
    found.sort(key=lambda row: [(value == "", value) for value in row])
    return [_item(by, row) for row in found]


def _item(by: Sequence[str], row: tuple[Any, ...]) -> dict[str, Any]:
    *values, n = row
    shown = [
        days.written(value) if name == DAY else (value or None)
        for name, value in zip(by, values, strict=True)
    ]
    return {**dict(zip(by, shown, strict=True)), "n": n}


def _rows(tables: StatsTables, counted: Counted, period: Period) -> Subquery:
    """Everything that is to be added up."""
    names = ["quarter", *counted.dimensions, "n"]
    parts: list[Select[Any]] = []
    for table in (tables.counts, tables.changes):
        part = select(*(table.c[name] for name in names)).where(*_within(table, counted, period))
        parts.append(part if period.last is None else part.where(table.c.quarter < period.last))
    parts += [select(*(edge.c[name] for name in names)) for edge in _edges(counted, period)]
    return union_all(*parts).subquery("counted_rows")


def _within(table: Table, counted: Counted, period: Period) -> list[ColumnElement[bool]]:
    wanted = [table.c.kind == counted.kind]
    return wanted if period.first is None else [*wanted, table.c.quarter >= period.first]


def _edges(counted: Counted, period: Period) -> list[Subquery]:
    """What is too much in the first quarter hour, and what is left of the last one."""
    found = []
    for moment, sign in ((period.start, -1), (period.end, 1)):
        if moment is not None and moment % QUARTER_US:
            part = counted.between(moment - moment % QUARTER_US, moment)
            found.append(counted.recount(sign).where(part).subquery())
    return found


def _day(
    conn: Connection, tables: StatsTables, counted: Counted, period: Period, zone: ZoneInfo, rows: Subquery
) -> ColumnElement[int]:
    """The day of a row, as days since the epoch."""
    quarter = rows.c.quarter
    ends = _ends(conn, tables, counted, period)
    if ends is None:
        return quarter
    if ends[1] - ends[0] > MOST_DAYS * days.OF_A_DAY:
        raise _refused("by", f"day is for at most {MOST_DAYS:,} days: give after and before")
    try:
        known = days.offsets(zone, *ends)
    except days.PartOfQuarter:
        raise _refused("timezone", "has clocks at parts of a quarter hour in this time: use UTC") from None
    *changes, last = known
    until = [(quarter < at, ahead) for (_, ahead), (at, _) in zip(changes, known[1:], strict=True)]
    ahead = case(*until, else_=last[1]) if until else literal(last[1], BigInteger)
    earlier = EARLIER - EARLIER % days.OF_A_DAY  # for a division that rounds down
    whole: ColumnElement[int] = (quarter + ahead + earlier) // days.OF_A_DAY - earlier // days.OF_A_DAY
    return whole


def _ends(conn: Connection, tables: StatsTables, counted: Counted, period: Period) -> tuple[int, int] | None:
    """The first and the last quarter hour of which something is counted."""
    found: list[int] = []
    for table in (tables.counts, tables.changes):
        query = select(func.min(table.c.quarter), func.max(table.c.quarter))
        query = query.where(*_within(table, counted, period))
        if period.last is not None:
            query = query.where(table.c.quarter <= period.last)
        found += [quarter for quarter in conn.execute(query).one() if quarter is not None]
    return (min(found), max(found)) if found else None


def _refused(field: str, message: str) -> Invalid:
    return Invalid([{"field": field, "message": message}])
