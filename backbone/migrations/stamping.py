"""For migrations: tables whose rows are stamped when they change. See `backbone.exports.stamps`."""

import re
from collections.abc import Sequence

from alembic import op
from sqlalchemy import Connection

from backbone.exports.stamps import make_functions, stamp_column
from backbone.migrations import add_column, drop_column


def make_stamps(room: str) -> None:
    """What all exported tables of a room need."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"CREATE TABLE {room}_stamps (last INTEGER NOT NULL)")
        connection.exec_driver_sql(f"INSERT INTO {room}_stamps VALUES (0)")  # noqa: S608
        return
    make_functions(connection, room)


def stamp_table(room: str, table: str, watched: Sequence[str] = ()) -> None:
    """Stamp the rows of a table, with the index for their order. Rewrites no row: those there are keep the stamp 0.

    `watched`: what an update has to change to count, as SQL over `{row}`; nothing: rows never change.
    """
    connection = op.get_bind()
    add_column(room, table, stamp_column())
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            f"ALTER TABLE {room}.{table} ALTER COLUMN stamp SET DEFAULT {room}.change_stamp()"
        )
        if watched:
            _postgres_trigger(connection, room, table, watched)
    else:
        _sqlite_triggers(connection, room, table, watched)
    op.create_index(f"{table}_stamp", table, ["stamp", "seq"], schema=room)


def _postgres_trigger(connection: Connection, room: str, table: str, watched: Sequence[str]) -> None:
    # The comparison is in the function, which is prepared once. In the trigger's own WHEN it would be prepared with
    # every statement, which took as long as the update itself.
    connection.exec_driver_sql(
        f"CREATE FUNCTION {room}.{table}_changed() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        f"IF ({_changed(watched, 'IS DISTINCT FROM')}) THEN NEW.stamp := {room}.change_stamp(); END IF; "
        "RETURN NEW; END$$"
    )
    connection.exec_driver_sql(
        f"CREATE TRIGGER {table}_changed BEFORE UPDATE OF {_columns(watched)} ON {room}.{table} "
        f"FOR EACH ROW EXECUTE FUNCTION {room}.{table}_changed()"
    )


def _sqlite_triggers(connection: Connection, room: str, table: str, watched: Sequence[str]) -> None:
    body = (
        f"BEGIN UPDATE {room}_stamps SET last = last + 1; "  # noqa: S608 - names from our own code
        f"UPDATE {table} SET stamp = (SELECT last FROM {room}_stamps) WHERE seq = NEW.seq; END"
    )
    connection.exec_driver_sql(f"CREATE TRIGGER {table}_made AFTER INSERT ON {table} {body}")
    if watched:
        connection.exec_driver_sql(
            f"CREATE TRIGGER {table}_changed AFTER UPDATE OF {_columns(watched)} ON {table} "
            f"WHEN {_changed(watched, 'IS NOT')} {body}"
        )


def _columns(watched: Sequence[str]) -> str:
    """The columns that these expressions read: an update that sets none of them calls no trigger."""
    return ", ".join(dict.fromkeys(re.findall(r"\{row\}\.(\w+)", " ".join(watched))))


def _changed(watched: Sequence[str], differs: str) -> str:
    return " OR ".join(f"{one.format(row='OLD')} {differs} {one.format(row='NEW')}" for one in watched)


def unstamp_table(room: str, table: str, *, changes: bool) -> None:
    """For downgrades: the opposite of `stamp_table`."""
    connection = op.get_bind()
    op.drop_index(f"{table}_stamp", table, schema=room)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"DROP TRIGGER {table}_made")
        if changes:
            connection.exec_driver_sql(f"DROP TRIGGER {table}_changed")
    elif changes:
        connection.exec_driver_sql(f"DROP FUNCTION {room}.{table}_changed() CASCADE")
    drop_column(room, table, "stamp")


def drop_stamps(room: str) -> None:
    """For downgrades: the opposite of `make_stamps`."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"DROP TABLE {room}_stamps")
        return
    for name in ("change_stamp", "readable_stamp", "latest_stamp"):
        connection.exec_driver_sql(f"DROP FUNCTION {room}.{name}()")
