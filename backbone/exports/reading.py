"""Reads a page of an export: in the order of the stamps, in short transactions, between two cursors.

The end of the page is settled first. A row that changes while the page is read moves behind it and comes with a later
page; no row can come in between, as everything before the end is committed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Row, Select, Table, literal, select, tuple_, union_all

from backbone.database import Database
from backbone.errors import Invalid
from backbone.exports import erased, stamps
from backbone.web.pagination import bad_cursor, decode_cursor, encode_cursor

CHUNK = 200  # rows of one transaction; a trigger may have 64 KiB
ERASED, ROW = 0, 1  # of one stamp, what was erased comes first: a row may have been made anew after that
FIRST, LAST = -1, (1 << 62)  # before and after every `seq`


class Cursor(NamedTuple):
    """A place in an export: the last row before it. `began`: the newest stamp when its reader began."""

    stamp: int
    part: int
    seq: int
    began: int

    def text(self, kind: str) -> str:
        """As readers see it."""
        return encode_cursor([kind, *self])


Ids = Callable[[list[erased.Place]], dict[erased.Place, str]]
View = Callable[[Row[Any]], dict[str, Any]]
Views = Callable[[Connection], View]


def _nobody(_: list[erased.Place]) -> dict[erased.Place, str]:
    return {}


@dataclass(frozen=True)
class Export:
    """An exported table. `fields`: what an item has, in the order of the columns of CSV.

    `views`: for the rows of one transaction, a function that shows one. `query` selects what it needs, `stamp` and
    `seq` included. `ids`: the accounts that were erased at places in the log, as far as it still has them.
    """

    kind: str
    table: Table
    gone: Table
    query: Select[Any]
    views: Views
    fields: tuple[str, ...]
    ids: Ids = _nobody
    refresh: Callable[[], None] | None = None  # called before a page is read

    @property
    def room(self) -> str:
        """The schema of the tables."""
        return str(self.table.schema)


class Item(NamedTuple):
    """A row with its cursor; `shown` is null for a row that was erased."""

    cursor: str
    id: str
    shown: dict[str, Any] | None


class Page:
    """A part of an export. Raises `Invalid` for a cursor that nobody can go on from."""

    def __init__(self, db: Database, export: Export, cursor: str | None, limit: int) -> None:
        self._db, self._export = db, export
        if export.refresh is not None:
            export.refresh()
        with db.read() as conn:
            self._start = self._begin(conn, cursor)
            self._end = self._settle(conn, limit)

    @property
    def next_cursor(self) -> str:
        """Where the next page begins; the cursor that was given if there is nothing new."""
        return self._end.text(self._export.kind)

    def _begin(self, conn: Connection, cursor: str | None) -> Cursor:
        room = self._export.room
        if cursor is None:
            began = conn.execute(select(stamps.readable(conn, room))).scalar_one() - 1
            return Cursor(0, ERASED, FIRST, began)
        place = _parsed(cursor, self._export.kind)
        if max(place.stamp, place.began) > stamps.latest(conn, room):
            raise _refused("is ahead of these tables: they were restored from a backup, it seems")
        if erased.forgotten(conn, room) > max(place.stamp, place.began):
            raise _refused("is so old that rows erased since then are forgotten")
        return place

    def _settle(self, conn: Connection, limit: int) -> Cursor:
        """The place of the last row of the page."""
        before = stamps.readable(conn, self._export.room)
        parts = [
            self._after(select(literal(part).label("part"), *_place(table)), part, self._start)
            .where(table.c.stamp < before)
            .order_by(table.c.stamp, table.c.seq)
            .limit(limit)
            .subquery()
            for part, table in self._tables()
        ]
        both = union_all(*(select(one) for one in parts)).subquery()
        order = [both.c.stamp, both.c.part, both.c.seq]
        first = select(both).order_by(*order).limit(limit).subquery()
        last = select(first.c.stamp, first.c.part, first.c.seq)
        last = last.order_by(*(first.c[one.name].desc() for one in order)).limit(1)
        found = conn.execute(last).one_or_none()
        return self._start if found is None else Cursor(*found, self._start.began)

    def __iter__(self) -> Iterator[Item]:
        """The rows of the page. Each chunk is read in a transaction of its own, none of which is open in between."""
        place = self._start
        while place[:3] < self._end[:3]:
            with self._db.read() as conn:
                rows = self._chunk(conn, place)
                if not rows:
                    return
                items = self._items(conn, rows)
            yield from items
            place = self._cursor(rows[-1])

    def _chunk(self, conn: Connection, place: Cursor) -> list[tuple[int, Row[Any]]]:
        rows: list[tuple[int, Row[Any]]] = []
        for part, table in self._tables():
            query = self._export.query if part == ROW else select(table)
            query = self._after(query, part, place)
            query = query.where(tuple_(table.c.stamp, table.c.seq) <= _bound(part, self._end))
            query = query.order_by(table.c.stamp, table.c.seq).limit(CHUNK)
            rows += [(part, row) for row in conn.execute(query)]
        return sorted(rows, key=lambda one: (one[1].stamp, one[0], one[1].seq))[:CHUNK]

    def _tables(self) -> list[tuple[int, Table]]:
        return [(ERASED, self._export.gone), (ROW, self._export.table)]

    def _after(self, query: Select[Any], part: int, place: Cursor) -> Select[Any]:
        table = self._tables()[part][1]
        query = query.where(tuple_(table.c.stamp, table.c.seq) > _bound(part, place))
        if part == ROW:
            return query
        # what was erased before this reader began is nobody's business
        return query.where(table.c.kind == self._export.kind, table.c.stamp > place.began)

    def _items(self, conn: Connection, rows: list[tuple[int, Row[Any]]]) -> list[Item]:
        view = self._export.views(conn)
        gone = [row for part, row in rows if part == ERASED]
        known = self._export.ids([_log_place(row) for row in gone if row.id is None])
        items: list[Item] = []
        for part, row in rows:
            shown = view(row) if part == ROW else None
            id_ = row.id if shown is None else shown["id"]
            id_ = known.get(_log_place(row)) if id_ is None else id_
            if id_ is not None:  # else it has left the log meanwhile
                items.append(Item(self._cursor((part, row)).text(self._export.kind), id_, shown))
        return items

    def _cursor(self, one: tuple[int, Row[Any]]) -> Cursor:
        return Cursor(one[1].stamp, one[0], one[1].seq, self._start.began)


def _place(table: Table) -> list[Any]:
    return [table.c.stamp, table.c.seq]


def _bound(part: int, place: Cursor) -> Any:
    """The last (stamp, seq) of a part up to a place."""
    seq = place.seq if part == place.part else (LAST if part < place.part else FIRST)
    return tuple_(literal(place.stamp, BigInteger), literal(seq, BigInteger))


def _log_place(row: Row[Any]) -> erased.Place:
    return erased.Place(row.partition, row.offset)


def _parsed(cursor: str, kind: str) -> Cursor:
    place = decode_cursor(cursor)
    named, *numbers = place or ("",)
    if named != kind or len(numbers) != len(Cursor._fields):
        raise bad_cursor()
    whole = [number for number in numbers if isinstance(number, int)]
    if len(whole) != len(numbers) or whole[1] not in (ERASED, ROW) or min(whole[0], whole[3]) < 0:
        raise bad_cursor()
    return Cursor(*whole)


def _refused(why: str) -> Invalid:
    return Invalid(
        [{"field": "cursor", "message": f"{why}. Read anew: leave it out, and load into empty tables"}]
    )
