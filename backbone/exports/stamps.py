"""Change stamps: a number on every row of an exported table that says when the row was last changed.

The database sets them itself, whatever statement writes. A row committed later than a stamp was readable has a greater
one. On PostgreSQL the stamp is the number of the writing transaction, and readers stop before the oldest transaction
that is still open. SQLite has one writer at a time, so a counter is enough. A stamp of 0: not changed since the
migration.
"""

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Integer, func, literal, select, text

from backbone.database import Database
from backbone.errors import ConfigurationError

Long = BigInteger().with_variant(Integer, "sqlite")


def stamp_column() -> Column[int]:
    """The column of an exported table. An index on it and the table's `seq` is part of the table."""
    return Column("stamp", Long, nullable=False, server_default="0")


def _function(room: str, name: str) -> ColumnElement[int]:
    made: ColumnElement[int] = getattr(getattr(func, room), name)(type_=BigInteger)
    return made


def new_stamp(connection: Connection, room: str) -> ColumnElement[int]:
    """The stamp of what the current transaction writes from now on, for rows whose stamp is given by hand."""
    if connection.dialect.name == "postgresql":
        return _function(room, "change_stamp")
    counted = text(f"UPDATE {room}_stamps SET last = last + 1 RETURNING last")  # noqa: S608 - a room's name
    return literal(connection.execute(counted).scalar_one(), BigInteger)


def readable(connection: Connection, room: str) -> ColumnElement[int]:
    """The stamp before which every change is committed: an expression for the statement that reads."""
    if connection.dialect.name == "postgresql":
        return _function(room, "readable_stamp")
    return literal(_counter(connection, room) + 1, BigInteger)


def latest(connection: Connection, room: str) -> int:
    """No stamp that was ever readable is greater than this."""
    if connection.dialect.name == "postgresql":
        number: int = connection.execute(select(_function(room, "latest_stamp"))).scalar_one()
        return number
    return _counter(connection, room)


def _counter(connection: Connection, room: str) -> int:
    number: int = connection.execute(text(f"SELECT last FROM {room}_stamps")).scalar_one()  # noqa: S608
    return number


def check(db: Database, room: str) -> None:
    """Raise `ConfigurationError` if rows have stamps from the future: the tables came from another server."""
    if db.dialect != "postgresql":
        return
    with db.read() as connection:
        if _ahead(connection, room) > 0:
            raise ConfigurationError(
                f"the tables of {room} were moved here from another PostgreSQL server: run touchline migrate"
            )


def settle(connection: Connection, room: str) -> None:
    """Go on after the greatest stamp there is: the transactions of another server may have had greater numbers."""
    if connection.dialect.name == "postgresql" and (ahead := _ahead(connection, room)) > 0:
        number = text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        base = latest(connection, room) - connection.execute(number).scalar_one()
        make_functions(connection, room, base + ahead + 1)


def _ahead(connection: Connection, room: str) -> int:
    """How far the greatest stamp is ahead of the transactions of this server."""
    stamped = text(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = :room AND column_name = 'stamp'"
    )
    tables = connection.execute(stamped, {"room": room}).scalars().all()
    found = [
        connection.execute(text(f"SELECT max(stamp) FROM {room}.{table}")).scalar()  # noqa: S608 - our own names
        for table in tables
    ]
    known = [number for number in found if number is not None]
    return max(known) - latest(connection, room) if known else 0


def make_functions(connection: Connection, room: str, base: int = 0) -> None:
    """PostgreSQL: the functions that give stamps, `base` above the numbers of the server's transactions."""
    for name, volatility, number in (
        ("change_stamp", "VOLATILE", "pg_current_xact_id()"),
        ("readable_stamp", "STABLE", "pg_snapshot_xmin(pg_current_snapshot())"),
        ("latest_stamp", "STABLE", "pg_snapshot_xmax(pg_current_snapshot())"),
    ):
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {room}.{name}() RETURNS bigint LANGUAGE sql {volatility} AS "
            f"$$SELECT {base} + {number}::text::bigint$$"
        )
