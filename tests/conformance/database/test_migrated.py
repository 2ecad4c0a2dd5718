"""The tests' short way to an up-to-date database comes to what the migrations come to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, inspect

from backbone.database import ROOMS, Database
from backbone.migrations import migrate_all
from services.ingest.tables import metadata as ingest
from tests.migrated import migrated


def in_words(part: Any) -> str:
    """An index or a constraint, the condition of a partial index included."""
    options = {name: str(value) for name, value in part.get("dialect_options", {}).items()}
    return f"{part | {'dialect_options': options}}"


def shape(database: Database) -> list[str]:
    """All tables with their columns, keys, indexes and checks, and the versions they are at."""
    seen = inspect(database.engine)
    schemas = ROOMS if database.dialect == "postgresql" else (None,)
    told: list[str] = []
    for schema in schemas:
        for table in sorted(seen.get_table_names(schema=schema)):
            columns = [
                (one["name"], str(one["type"]), one["nullable"], one["default"])
                for one in seen.get_columns(table, schema=schema)
            ]
            told += [f"{schema} {table} {columns}", repr(seen.get_pk_constraint(table, schema=schema))]
            told += sorted(in_words(one) for one in seen.get_indexes(table, schema=schema))
            told += sorted(in_words(one) for one in seen.get_unique_constraints(table, schema=schema))
            told += sorted(in_words(one) for one in seen.get_check_constraints(table, schema=schema))
            if table.endswith("_version"):
                with database.read() as connection:
                    versions = MetaData()
                    versions.reflect(connection, schema=schema, only=[table])
                    [held] = versions.tables.values()
                    told.append(repr(connection.execute(held.select()).all()))
    return told


@pytest.mark.parametrize("dialect", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_both_ways_come_to_the_same(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    def empty(name: str) -> Database:
        if dialect == "sqlite":
            return Database(f"sqlite:///{tmp_path / name}.db")
        new: Callable[[], str] = request.getfixturevalue("new_database")
        return Database(new())

    with closing(empty("whole")) as whole, closing(empty("first")) as first, closing(empty("again")) as again:
        migrate_all(whole)
        migrated(first)
        assert shape(whole) == shape(first)
        with first.write() as connection:
            ingest.drop_all(connection)
        assert shape(whole) != shape(first)
        migrated(again)
        assert shape(whole) == shape(again)
        assert len(shape(whole)) > 100
