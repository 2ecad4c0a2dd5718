"""Holds the counts that a database keeps against the rows that are there, counted one by one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Table, inspect, select

from backbone.database import Database
from backbone.stats.counted import Counted, StatsTables
from services.actions import stats_tables as of_actions
from services.actions import tables as actions
from services.rules import tables as rules

QUARTER_US = 900_000_000
ROOMS: list[tuple[StatsTables, tuple[Counted, ...], list[Table]]] = [
    (rules.STATS, rules.COUNTED, [rules.triggers]),
    (of_actions.STATS, of_actions.COUNTED, [actions.plays, actions.actions, actions.tasks]),
]
Cells = tuple[Any, ...]  # quarter hour, values
_read = Database.read  # some tests put another one in its place


def recounted(conn: Connection, counted: Counted, table: Table) -> Counter[Cells]:
    """The rows of a table."""
    found: Counter[Cells] = Counter()
    moments = [table.c[name] for name in counted.moments]
    for row in conn.execute(select(*moments, *(table.c[name] for name in counted.dimensions.values()))):
        moment = next(value for value in row[: len(moments)] if value is not None)
        found[moment // QUARTER_US, *(value or "" for value in row[len(moments) :])] += 1
    return found


def kept(conn: Connection, tables: StatsTables, counted: Counted) -> Counter[Cells]:
    """What the database says, whether it is added up or not."""
    found: Counter[Cells] = Counter()
    for table in (tables.counts, tables.changes):
        columns = [table.c.quarter, *(table.c[name] for name in counted.dimensions), table.c.n]
        for *cells, n in conn.execute(select(*columns).where(table.c.kind == counted.kind)):
            found[tuple(cells)] += n
    return Counter({cells: n for cells, n in found.items() if n})


def check_counts(db: Database) -> None:
    """Every kind's counts are those of its rows, in one state of the database."""
    with _read(db, steady=True) as conn:
        there = inspect(conn)
        for tables, kinds, sources in ROOMS:
            schema = tables.counts.schema if db.dialect == "postgresql" else None
            if there.has_table(tables.counts.name, schema=schema):
                for counted, table in zip(kinds, sources, strict=True):
                    assert kept(conn, tables, counted) == recounted(conn, counted, table), counted.kind
