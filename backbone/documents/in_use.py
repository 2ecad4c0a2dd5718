"""Keeps documents in use from being deleted, and keeps documents from naming one that is being deleted.

The outline registry (`backbone.documents.registry`) holds which document names which, written with each document in
its transaction. Until its transaction ends, a save holds a lock on the documents it names, and a deletion on the
document it deletes. If the two meet, the second sees what the first has done. On PostgreSQL these are advisory
locks; SQLite has one writer.
"""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, select, text

from backbone.documents.registry import Place
from backbone.errors import Conflict
from backbone.tables import outlines, references
from schemas.lint.outline import FORMAT, TYPES, holds
from schemas.sentences.wording import listed

MOST_NAMED = 20  # users listed in a refusal


class InUse(Conflict):
    """Another document in force names the document that is to be deleted."""

    code = "in_use"
    title = "It is in use"

    def __init__(self, place: Place, users: list[Place], more: int) -> None:
        kind, name = place
        super().__init__(f"the {kind} {name!r} is in use by {_told(users, more)}")
        self.extra = {"users": [{"kind": kind, "name": name} for kind, name in users]}


def hold(conn: Connection, places: Iterable[Place], *, alone: bool = False) -> None:
    """Keep these documents from being deleted (`alone`: also from being named by a save) until the transaction ends."""
    if conn.dialect.name != "postgresql":
        return
    verb = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    for kind, name in sorted(places):  # always in the same order, so that there is no deadlock
        conn.execute(text(f"SELECT {verb}(hashtextextended(:place, 1))"), {"place": f"{kind}\n{name}"})


def refuse_if_used(conn: Connection, kind: str, name: str) -> None:
    """For the transaction of a deletion. Raises `InUse` if a document in force names this one.

    Afterwards no document can name it.
    """
    hold(conn, [(kind, name)], alone=True)
    users = [place for place in _naming(conn, kind, name) if _in_force(conn, place)]
    if users:
        raise InUse((kind, name), users[:MOST_NAMED], len(users) - MOST_NAMED)


def there(conn: Connection, kind: str, name: str) -> bool:
    """Whether the registry knows this document."""
    query = select(outlines.c.version).where(outlines.c.kind == kind, outlines.c.name == name)
    return conn.execute(query).one_or_none() is not None


def _naming(conn: Connection, kind: str, name: str) -> list[Place]:
    columns = select(references.c.kind, references.c.name)
    query = columns.where(references.c.to_kind == kind, references.c.to_name == name)
    return [
        (row.kind, row.name) for row in conn.execute(query.order_by(references.c.kind, references.c.name))
    ]


def _in_force(conn: Connection, place: Place) -> bool:
    """Whether a document is more than a draft. If in doubt it is: an outline of an older program will be rewritten."""
    kind, name = place
    query = select(outlines.c.format, outlines.c.outline).where(
        outlines.c.kind == kind, outlines.c.name == name
    )
    row = conn.execute(query).one_or_none()
    return row is None or row.format != FORMAT or holds(msgspec.json.decode(row.outline, type=TYPES[kind]))


def _told(users: list[Place], more: int) -> str:
    """Lists the users, such as `the rules spike and quiet`."""
    kinds = dict.fromkeys(kind for kind, _ in users)
    parts = []
    for kind in kinds:
        names = [name for one, name in users if one == kind]
        parts.append(f"the {kind} {names[0]}" if len(names) == 1 else f"the {kind}s {listed(names)}")
    return listed(parts) + (f" and {more} more" if more > 0 else "")
