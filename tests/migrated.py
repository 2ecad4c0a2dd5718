"""Empty databases brought up to date as `migrate_all` does it, at a tenth of the cost: the migrations run once in a
process, and every other database becomes a copy of what they came to."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Sequence
from contextlib import closing

from sqlalchemy import URL, inspect
from sqlalchemy.exc import DatabaseError

from backbone.database import ROOMS, Database
from backbone.migrations import migrate_all
from deploy.local.postgres import create_database, drop_database

_FILES: dict[tuple[str, ...], sqlite3.Connection] = {}  # in memory, of these rooms
_TEMPLATES: dict[tuple[str, ...], str] = {}  # databases of PostgreSQL, of a server and these rooms
_copying = threading.Lock()


def migrated(db: Database, rooms: Sequence[str] = ROOMS) -> None:
    """Bring the rooms of an empty database up to date. One that another process has filled stays as it is."""
    if not _is_empty(db):
        return
    with _copying:
        (_copy_file if db.dialect == "sqlite" else _copy_template)(db, rooms)


def up_to_date(db: Database, rooms: Sequence[str] = ROOMS) -> None:
    """`migrate_all`, the short way if nothing is there yet."""
    (migrated if _is_empty(db) else migrate_all)(db, rooms)


def templates() -> list[str]:
    """The databases of PostgreSQL that others are copies of."""
    return list(_TEMPLATES.values())


def _is_empty(db: Database) -> bool:
    """Whether nothing is there; False for what cannot be read, which is not for us to say."""
    try:
        seen = inspect(db.engine)
        return not (
            "backbone" in seen.get_schema_names() if db.dialect == "postgresql" else seen.get_table_names()
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
        create_database(_address(url, url.database), template)
        with closing(Database(_address(url, template))) as made:
            migrate_all(made, rooms)
        _TEMPLATES[known] = template
    db.engine.dispose()
    beside = _address(url, _TEMPLATES[known])
    drop_database(beside, str(url.database))
    create_database(beside, str(url.database), template=_TEMPLATES[known])


def _address(url: URL, database: str | None) -> str:
    """With its password, which `str(url)` would hide."""
    return url.set(database=database).render_as_string(hide_password=False)
