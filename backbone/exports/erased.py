"""What is left of an exported row that was erased: its id, so that whoever has read the row can delete it too.

The id of an account may be a person's address, so the place of its erasure in the log is kept instead. Nothing is kept
for longer than the log. Rows that leave because of their age leave nothing: readers may keep them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from backbone.database import Database, upsert
from backbone.exports.stamps import Long, new_stamp
from backbone.tables import facts


def erased_table(metadata: MetaData) -> Table:
    """The table of a room."""
    room = metadata.schema
    return Table(
        f"{room}_export_erased",
        metadata,
        Column("seq", Long, primary_key=True, autoincrement=True),
        Column("kind", String(16), nullable=False),  # the name of the export
        Column("id", String(64)),  # null: it stands in the log, at the place that follows
        Column("partition", Integer),
        Column("offset", BigInteger),
        Column("stamp", Long, nullable=False),
        Column("at", BigInteger),  # when `forget` first met it, by the wall clock; null: not yet
        Index(f"{room}_export_erased_kind", "kind", "stamp", "seq"),
        Index(f"{room}_export_erased_at", "at"),
    )


class Place(NamedTuple):
    """Where the log has the event that erased an account."""

    partition: int
    offset: int


def note_rows(conn: Connection, table: Table, kind: str, gone: Select[tuple[str]]) -> None:
    """Note the ids of rows that this transaction deletes. To be called before."""
    stamp = new_stamp(conn, str(table.schema))
    found = gone.subquery()
    noted = select(literal(kind), found.c[0], stamp)
    conn.execute(insert(table).from_select(["kind", "id", "stamp"], noted))


def note_accounts(conn: Connection, table: Table, places: Sequence[Place]) -> None:
    """Note accounts that this transaction deletes, by the places of their erasures."""
    if not places:
        return
    stamp = new_stamp(conn, str(table.schema))
    rows = [{"partition": one.partition, "offset": one.offset} for one in places]
    conn.execute(insert(table).values(kind="accounts", stamp=stamp), rows)


def forget(db: Database, table: Table, now: int, keep: int) -> None:
    """Delete what was noted more than `keep` before `now` (microseconds), and remember up to which stamp."""
    before = now - keep
    with db.write() as conn:
        conn.execute(update(table).where(table.c.at.is_(None)).values(at=now))
        old = table.c.at < before
        last = conn.scalar(select(func.max(table.c.stamp)).where(old))
        if last is not None:
            conn.execute(delete(table).where(old))
            last = max(last, forgotten(conn, str(table.schema)))
            upsert(conn, facts, [{"name": _fact(str(table.schema)), "value": str(last).encode()}], ["name"])


def forgotten(conn: Connection, room: str) -> int:
    """The stamp up to which erased rows may be forgotten; 0 if none are."""
    kept = conn.execute(select(facts.c.value).where(facts.c.name == _fact(room))).scalar()
    return 0 if kept is None else int(bytes(kept))


def _fact(room: str) -> str:
    return f"{room}_export_forgotten"
