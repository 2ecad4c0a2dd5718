"""Databases brought up to date as `migrate_all` does it, at a tenth of the cost: the migrations run once in a
process, and every other database becomes a copy of what they came to."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Sequence
from contextlib import closing

from sqlalchemy import URL, create_engine, inspect
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from backbone.database import ROOMS, Database
from backbone.migrations import migrate_all

_FILES: dict[tuple[str, ...], sqlite3.Connection] = {}  # in memory, of these rooms
_TEMPLATES: dict[tuple[str, ...], str] = {}  # databases of PostgreSQL, of a server and these rooms
_copying = threading.Lock()


def migrated(db: Database, rooms: Sequence[str] = ROOMS) -> None:
    """Bring the rooms up to date, the short way if nothing is there yet."""
    with _copying:
        if not _is_empty(db):
            migrate_all(db, rooms)
        elif db.dialect == "sqlite":
            _copy_file(db, rooms)
        else:
            _copy_template(db, rooms)


def templates() -> list[str]:
    """The databases of PostgreSQL that others are copies of."""
    return list(_TEMPLATES.values())


def _is_empty(db: Database) -> bool:
    """Whether nothing is there; False for what cannot be read, which is not for us to say."""
    try:
        seen = inspect(db.engine)
        return not (
            {*ROOMS} & {*seen.get_schema_names()} if db.dialect == "postgresql" else seen.get_table_names()
        )
    except DatabaseError:
        return False


def _copy_file(db: Database, rooms: Sequence[str]) -> None:
    kept = _FILES.get(tuple(rooms))
    if kept is None:
        migrate_all(db, rooms)
    with closing(db.engine.raw_connection()) as connection:
        file = connection.driver_connection
        assert isinstance(file, sqlite3.Connection)
        if kept is None:
            _FILES[tuple(rooms)] = kept = sqlite3.connect(":memory:", check_same_thread=False)
            file.backup(kept)
        else:
            kept.backup(file)


def _copy_template(db: Database, rooms: Sequence[str]) -> None:
    url = db.engine.url
    known = (_address(url, ""), *rooms)
    if known not in _TEMPLATES:
        template = f"touchline_test_{uuid.uuid4().hex[:12]}"
        _say(url, f'CREATE DATABASE "{template}"')
        with closing(Database(_address(url, template))) as made:
            migrate_all(made, rooms)
        _TEMPLATES[known] = template
    db.engine.dispose()
    beside = url.set(database=_TEMPLATES[known])
    _say(beside, f'DROP DATABASE "{url.database}" WITH (FORCE)')
    _say(beside, f'CREATE DATABASE "{url.database}" TEMPLATE "{_TEMPLATES[known]}"')


def _say(url: URL, statement: str) -> None:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


def _address(url: URL, database: str) -> str:
    """With its password, which `str(url)` would hide."""
    return url.set(database=database).render_as_string(hide_password=False)
