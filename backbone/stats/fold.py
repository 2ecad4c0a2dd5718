"""Adds what has changed to the counts. Until then, whoever reads them adds it."""

import hashlib
from collections import Counter
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, select

from backbone.database import Database, among, upsert
from backbone.stats.counted import StatsTables

AT_ONCE = 2_000  # changes in one transaction
_encode = msgspec.json.Encoder().encode


def fold(db: Database, tables: StatsTables) -> None:
    """Add all changes to the counts. Does nothing while another process does it."""
    while _waiting(db, tables) and _some(db, tables):
        pass


def _waiting(db: Database, tables: StatsTables) -> bool:
    with db.read() as conn:
        return conn.scalar(select(tables.changes.c.seq).limit(1)) is not None


def _some(db: Database, tables: StatsTables) -> bool:
    """Whether there may be more."""
    changes = tables.changes
    with db.write() as conn:
        if not _alone(conn, tables):
            return False
        rows = conn.execute(select(changes).order_by(changes.c.seq).limit(AT_ONCE)).all()
        _add(conn, tables, rows)
        conn.execute(delete(changes).where(among(conn, changes.c.seq, [row.seq for row in rows])))
        return len(rows) == AT_ONCE


def _alone(conn: Connection, tables: StatsTables) -> bool:
    """Until the end of this transaction. Two that add at once would wait for each other's rows."""
    if conn.dialect.name != "postgresql":
        return True
    key = func.hashtext(str(tables.counts.fullname))
    return bool(conn.scalar(select(func.pg_try_advisory_xact_lock(key))))


def _add(conn: Connection, tables: StatsTables, rows: Any) -> None:
    counts, names = tables.counts, tables.dimensions
    sums: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        sums[row.kind, row.quarter, *(row._mapping[name] for name in names)] += row.n  # noqa: SLF001 - public
    added = [
        {
            "kind": kind,
            "quarter": quarter,
            "digest": _digest(values),
            **dict(zip(names, values, strict=True)),
            "n": n,
        }
        for (kind, quarter, *values), n in sorted(sums.items())
        if n
    ]
    upsert(conn, counts, added, ["kind", "quarter", "digest"], keeping=names, adding=["n"])
    conn.execute(delete(counts).where(counts.c.n == 0))


def _digest(values: list[str]) -> bytes:
    return hashlib.blake2b(_encode(values), digest_size=16).digest()
