"""The versions of rules: one for every save and every deletion, in force or not. Their status is no part of them."""

from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select

from backbone.errors import NotFound, StateConflict
from services.rules.tables import versions

NO_PART = ("status", "backfill")  # of what a version says


def write_version(
    conn: Connection, name: str, doc: dict[str, Any], by: str, now: int, *, deleted: bool = False
) -> int:
    """Keep a new version of a rule; its number is returned. The caller holds the lock of the revisions."""
    number = newest(conn, name) + 1
    said = {field: value for field, value in doc.items() if field not in NO_PART}
    row = {
        "name": name,
        "version": number,
        "doc": said,
        "deleted": deleted,
        "changed_by": by,
        "changed_at": now,
    }
    conn.execute(insert(versions).values(**row))
    return number


def newest(conn: Connection, name: str) -> int:
    """The number of the last version saved; 0: none was."""
    return conn.scalar(select(func.max(versions.c.version)).where(versions.c.name == name)) or 0


def all_versions(name: str) -> Select[Any]:
    """Every version of a rule."""
    return select(versions).where(versions.c.name == name)


def version_row(conn: Connection, name: str, version: int) -> Row[Any] | None:
    """One version; None if there is none of this number."""
    return conn.execute(all_versions(name).where(versions.c.version == version)).one_or_none()


def publishable(conn: Connection, name: str, version: int) -> Row[Any]:
    """A version that can come into force. Raises `NotFound`, `StateConflict` for a deletion."""
    row = version_row(conn, name, version)
    if row is None:
        raise NotFound(f"the rule {name} has no version {version}")
    if row.deleted:
        raise StateConflict(f"version {version} of the rule {name} is its deletion")
    return row
