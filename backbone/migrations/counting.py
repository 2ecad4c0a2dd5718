"""For migrations: tables whose rows the database counts. See `backbone.stats`."""

from alembic import op
from sqlalchemy import Connection, insert

from backbone.stats.counted import Counted, StatsTables


def make_counts(tables: StatsTables) -> None:
    """Make the tables of the counts."""
    tables.counts.create(op.get_bind())
    tables.changes.create(op.get_bind())


def drop_counts(tables: StatsTables) -> None:
    """For downgrades: the opposite."""
    tables.changes.drop(op.get_bind())
    tables.counts.drop(op.get_bind())


def count_table(counted: Counted, tables: StatsTables) -> None:
    """Count the rows that are there, and whatever changes from now on."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        _postgres_triggers(connection, counted)
    else:
        _sqlite_triggers(connection, counted)
    names = [*counted.cells("_"), "n"]
    connection.execute(insert(tables.changes).from_select(names, counted.recount()))


def uncount_table(counted: Counted) -> None:
    """For downgrades: the opposite."""
    connection = op.get_bind()
    for when in ("made", "moved", "gone"):
        name = f"{counted.table}_count_{when}"
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"DROP FUNCTION {counted.room}.{name}() CASCADE")
        else:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")


def _postgres_triggers(connection: Connection, counted: Counted) -> None:
    """What one statement makes or deletes is added up first. A trigger after updates has to go row by row: only such
    a one is not called by updates of other columns."""
    name, names = f"{counted.table}_count", ", ".join([*counted.cells("_"), "n"])
    into = f"INSERT INTO {counted.room}.{counted.room}_stats_changes ({names})"
    for when, what, rows, sign in (("made", "INSERT", "NEW", 1), ("gone", "DELETE", "OLD", -1)):
        cells = counted.cells("changed")
        grouped = ", ".join(str(place) for place in range(2, len(cells) + 1))
        added = f"SELECT {', '.join(cells.values())}, {sign} * count(*) FROM changed GROUP BY {grouped}"  # noqa: S608
        _postgres_trigger(
            connection,
            counted,
            f"{name}_{when}",
            f"{into} {added};",
            f"AFTER {what} ON {counted.room}.{counted.table} REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT",
        )
    moved = f"IF {_moved(counted, 'IS DISTINCT FROM')} THEN {into} VALUES {_both(counted)}; END IF;"
    _postgres_trigger(
        connection,
        counted,
        f"{name}_moved",
        moved,
        f"AFTER UPDATE OF {_columns(counted)} ON {counted.room}.{counted.table} FOR EACH ROW",
    )


def _postgres_trigger(connection: Connection, counted: Counted, name: str, body: str, when: str) -> None:
    connection.exec_driver_sql(
        f"CREATE FUNCTION {counted.room}.{name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN {body} RETURN NULL; END$$"
    )
    connection.exec_driver_sql(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {counted.room}.{name}()")


def _sqlite_triggers(connection: Connection, counted: Counted) -> None:
    name, names = f"{counted.table}_count", ", ".join([*counted.cells("_"), "n"])
    into = f"INSERT INTO {counted.room}_stats_changes ({names}) VALUES"
    on = f"ON {counted.table}"
    moved = f"AFTER UPDATE OF {_columns(counted)} {on} WHEN {_moved(counted, 'IS NOT')}"
    for when, values in (
        (f"TRIGGER {name}_made AFTER INSERT {on}", _values(counted, "NEW", 1)),
        (f"TRIGGER {name}_gone AFTER DELETE {on}", _values(counted, "OLD", -1)),
        (f"TRIGGER {name}_moved {moved}", _both(counted)),
    ):
        connection.exec_driver_sql(f"CREATE {when} BEGIN {into} {values}; END")


def _values(counted: Counted, row: str, number: int) -> str:
    return f"({', '.join([*counted.cells(row).values(), str(number)])})"


def _both(counted: Counted) -> str:
    return f"{_values(counted, 'OLD', -1)}, {_values(counted, 'NEW', 1)}"


def _columns(counted: Counted) -> str:
    return ", ".join(dict.fromkeys([*counted.moments, *counted.dimensions.values()]))


def _moved(counted: Counted, differs: str) -> str:
    """Whether a row counts elsewhere than before."""
    old, new = counted.cells("OLD"), counted.cells("NEW")
    return " OR ".join(f"({old[name]}) {differs} ({new[name]})" for name in old if name != "kind")
