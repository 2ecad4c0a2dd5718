"""Alembic for every service: each has its own chain of versions, in `<folder>/migrations/versions`,
and a version table.

Safe to run twice, and by several processes at once: PostgreSQL holds an advisory lock, SQLite its write lock.
"""

import importlib.resources
from collections.abc import Sequence
from typing import Any

from alembic import command, op
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.engine.reflection import Inspector

from backbone.database import ROOMS, Database
from backbone.errors import ConfigurationError
from backbone.exports.stamps import settle

LOCK = 0x746F756368  # "touch": the advisory lock that all rooms' migrations share


def migrate(db: Database, room: str, to: str = "head") -> None:
    """Bring a room's tables up to date (or to an older version), in one transaction."""
    config = _config(room)
    with db.write() as connection:
        if db.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {room}"))
        config.attributes["connection"] = connection
        config.attributes["room"] = room
        command.upgrade(config, to)
        settle(connection, room)


def migrate_all(db: Database, rooms: Sequence[str] = ROOMS) -> None:
    """Bring all rooms up to date."""
    for room in rooms:
        migrate(db, room)


def check_schema(db: Database, room: str, metadata: MetaData) -> None:
    """Raise `ConfigurationError` unless a room is at its newest version, with its tables and unique indexes.

    On PostgreSQL every unique index has to be valid: one whose concurrent making failed keeps nothing unique.
    """
    with db.read() as connection:
        head = ScriptDirectory.from_config(_config(room)).get_current_head()
        current = MigrationContext.configure(
            connection, opts=version_options(room, db.dialect)
        ).get_current_revision()
        if current != head:
            raise ConfigurationError(
                f"the tables of {room} are at version {current or 'none'}, this program needs {head}: "
                "run touchline migrate"
            )
        missing = [*_missing(connection, metadata), *_invalid_indexes(connection, room)]
    if missing:
        raise ConfigurationError(f"the tables of {room} do not fit: {', '.join(missing)}")


def _missing(connection: Connection, metadata: MetaData) -> list[str]:
    out: list[str] = []
    for table in metadata.sorted_tables:
        schema = table.schema if connection.dialect.name == "postgresql" else None
        seen = inspect(connection)
        if not seen.has_table(table.name, schema=schema):
            out.append(f"no table {table.name}")
            continue
        columns = {column["name"] for column in seen.get_columns(table.name, schema=schema)}
        out += [f"no column {table.name}.{name}" for name in table.columns.keys() if name not in columns]  # noqa: SIM118
        unique = _unique_in(seen, table.name, schema)
        out += [
            f"no unique index on {table.name} ({', '.join(sorted(wanted))})"
            for wanted in _unique_of(table)
            if wanted not in unique
        ]
    return out


def _unique_in(seen: Inspector, table: str, schema: str | None) -> set[frozenset[str]]:
    """The sets of columns that the database keeps unique, in all rows."""
    indexes: Any = [
        index["column_names"]
        for index in seen.get_indexes(table, schema=schema)
        if index["unique"] and not any("where" in name for name in index.get("dialect_options", {}))
    ]
    constraints: Any = [one["column_names"] for one in seen.get_unique_constraints(table, schema=schema)]
    primary = seen.get_pk_constraint(table, schema=schema)["constrained_columns"]
    return {frozenset(name for name in names if name) for names in (primary, *indexes, *constraints)}


def _unique_of(table: Table) -> list[frozenset[str]]:
    """The sets of columns that the code relies on to be unique."""
    constraints = [
        one for one in table.constraints if isinstance(one, PrimaryKeyConstraint | UniqueConstraint)
    ]
    indexes = [index for index in table.indexes if index.unique]
    return [frozenset(column.name for column in one.columns) for one in (*constraints, *indexes)]


def _invalid_indexes(connection: Connection, room: str) -> list[str]:
    if connection.dialect.name != "postgresql":
        return []
    query = text(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = :room AND i.indisunique AND NOT i.indisvalid"
    )
    return [
        f"the unique index {name} is invalid" for name in connection.execute(query, {"room": room}).scalars()
    ]


def version_options(room: str, dialect: str) -> dict[str, Any]:
    """Where a room's version is kept, as options for Alembic."""
    schema = room if dialect == "postgresql" else None
    return {"version_table": f"{room}_version", "version_table_schema": schema}


def add_column(room: str, table: str, column: Column[Any]) -> None:
    """For migrations: a new column of a room's table. Alembic's own knows nothing of SQLite having no schemas."""
    op.add_column(table, column, schema=_schema(room))


def drop_column(room: str, table: str, name: str) -> None:
    """For migrations: the end of a column."""
    op.drop_column(table, name, schema=_schema(room))


def _schema(room: str) -> str | None:
    return room if op.get_bind().dialect.name == "postgresql" else None


def _config(room: str) -> Config:
    package = "backbone" if room == "backbone" else f"services.{room}"
    versions = importlib.resources.files(package).joinpath("migrations", "versions")
    config = Config()
    config.set_main_option(
        "script_location", str(importlib.resources.files("backbone").joinpath("migrations"))
    )
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(versions))
    return config
