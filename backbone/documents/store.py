"""Named documents. Every save makes a new immutable version. `backbone.documents.api` is the HTTP side.

One version is in force, and it is the document; a version may be saved without putting it into force, and be
published later. Publishing makes no new version, so an older one comes back under its own number.

Versions are numbered on after a deletion, so that an ETag never means two things. All kinds of document of a
service share two tables.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    UniqueConstraint,
    insert,
    select,
    update,
)

from backbone.database import insert_new
from backbone.errors import NameTaken, NotFound, StateConflict
from backbone.web.pagination import Paging, check_if_match, etag, page

Doc = Mapping[str, Any]
_Long = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only if the type is INTEGER


class DocumentTables(NamedTuple):
    """`heads`: one row per name, with the version in force. `versions`: one row per save or deletion."""

    heads: Table
    versions: Table


def document_tables(metadata: MetaData) -> DocumentTables:
    """Declare a service's two tables: `<service>_documents` and `<service>_versions`."""
    room = metadata.schema
    heads = Table(
        f"{room}_documents",
        metadata,
        Column("seq", _Long, primary_key=True, autoincrement=True),  # newest last
        Column("kind", String(32), nullable=False),
        Column("name", String(256), nullable=False),
        Column("version", Integer, nullable=False),  # in force; 0: none ever was
        Column("newest", Integer, nullable=False, server_default="0"),  # the last version saved
        Column("deleted", Boolean, nullable=False),  # no version is in force
        UniqueConstraint("kind", "name"),
    )
    versions = Table(
        f"{room}_versions",
        metadata,
        Column("kind", String(32), primary_key=True),
        Column("name", String(256), primary_key=True),
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("doc", JSON, nullable=False),
        Column("deleted", Boolean, nullable=False),  # whether this version is the deletion
        Column("changed_by", String(256), nullable=False),
        Column("changed_at", BigInteger, nullable=False),  # microseconds since the epoch
    )
    return DocumentTables(heads, versions)


class StoredDocument(msgspec.Struct, frozen=True):
    """One version of a document."""

    name: str
    version: int
    doc: dict[str, Any]
    changed_by: str
    changed_at: int
    deleted: bool = False

    @property
    def etag(self) -> str:
        """Its ETag."""
        return etag(self.version)


Keep = Callable[[StoredDocument], bool]


class DocumentStore:
    """The documents of one kind ("playbook"). Every method works within the transaction of `connection`."""

    def __init__(self, tables: DocumentTables, kind: str) -> None:
        self.kind = kind
        self._heads, self._versions = tables

    def get(self, connection: Connection, name: str) -> StoredDocument | None:
        """The version in force; None if there is none, or the document is deleted."""
        head = self._head(connection, name)
        return None if head is None or head.deleted else self.version(connection, name, head.version)

    def fetch(self, connection: Connection, name: str) -> StoredDocument:
        """The version in force. Raises `NotFound`."""
        found = self.get(connection, name)
        if found is None:
            raise self._not_found(name)
        return found

    def version(self, connection: Connection, name: str, version: int) -> StoredDocument:
        """One version, even of a deleted document. Raises `NotFound`."""
        query = self._select().where(self._versions.c.name == name, self._versions.c.version == version)
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound(f"the {self.kind} {name!r} has no version {version}")
        return _stored(row)

    def create(
        self, connection: Connection, name: str, doc: Doc, by: str, now: int, *, publish: bool = True
    ) -> StoredDocument:
        """Save the first version, or the first after a deletion. Raises `NameTaken`."""
        head = self._lock(connection, name)
        if not head.deleted:
            raise NameTaken(f"there is a {self.kind} {name!r} already")
        stored = StoredDocument(name, head.newest + 1, dict(doc), by, now)
        return self._save(connection, stored, publish=publish)

    def put(
        self,
        connection: Connection,
        name: str,
        doc: Doc,
        by: str,
        now: int,
        if_match: str | None = None,
        *,
        publish: bool = True,
    ) -> tuple[StoredDocument, StoredDocument | None]:
        """Save a new version; returns it, and the one in force before (None: none was). Raises `PreconditionFailed`.

        `publish` False: the version in force stays in force.
        """
        head = self._lock(connection, name)
        check_if_match(if_match, None if head.deleted else etag(head.version))
        before = self._before(connection, head)
        stored = StoredDocument(name, head.newest + 1, dict(doc), by, now)
        return self._save(connection, stored, publish=publish), before

    def publish(
        self, connection: Connection, name: str, version: int, if_match: str | None = None
    ) -> tuple[StoredDocument, StoredDocument | None]:
        """Put a version into force; returns it, and the one in force before (None: none was).

        Raises `NotFound`, `PreconditionFailed`, `StateConflict` for a deletion.
        """
        stored = self.publishable(connection, name, version)
        head = self._lock(connection, name)
        check_if_match(if_match, None if head.deleted else etag(head.version))
        before = self._before(connection, head)
        self._set(connection, name, version=version, deleted=False)
        return stored, before

    def publishable(self, connection: Connection, name: str, version: int) -> StoredDocument:
        """A version that can come into force. Raises `NotFound`, `StateConflict` for a deletion."""
        stored = self.version(connection, name, version)
        if stored.deleted:
            raise StateConflict(f"version {version} of the {self.kind} {name!r} is its deletion")
        return stored

    def delete(
        self, connection: Connection, name: str, by: str, now: int, if_match: str | None = None
    ) -> StoredDocument:
        """Delete the document; its versions stay. Returns what it was. Raises `NotFound`, `PreconditionFailed`."""
        head = self._lock(connection, name)
        if head.deleted:
            raise self._not_found(name)
        check_if_match(if_match, etag(head.version))
        self._save(connection, StoredDocument(name, head.newest + 1, {}, by, now, deleted=True))
        return self.version(connection, name, head.version)

    def all(self, connection: Connection) -> list[StoredDocument]:
        """The version in force of every document, by name."""
        return [_stored(row) for row in connection.execute(self._current().order_by(self._heads.c.name))]

    def current_versions(self, connection: Connection) -> dict[str, int]:
        """The number of the version in force of every document, without reading its content."""
        heads = self._heads.c
        query = select(heads.name, heads.version).where(heads.kind == self.kind, heads.deleted.is_(False))
        return {row.name: row.version for row in connection.execute(query)}

    def page(
        self, connection: Connection, paging: Paging, render: Any, keep: Keep | None = None
    ) -> dict[str, Any]:
        """A page of the documents, newest first.

        `render(Stored)` makes an item; `keep` says which documents belong to the list (None: all).
        """
        belongs = None if keep is None else lambda row: keep(_stored(row))
        query, order = self._current(), [self._heads.c.seq]
        return page(connection, query, order, paging, lambda row: render(_stored(row)), keep=belongs)

    def versions(self, connection: Connection, name: str, paging: Paging, render: Any) -> dict[str, Any]:
        """A page of a document's versions, newest first, each with whether it is in force.

        Raises `NotFound` if the name was never used.
        """
        head = self._head(connection, name)
        if head is None:
            raise self._not_found(name)
        current = None if head.deleted else head.version

        def item(row: Row[Any]) -> dict[str, Any]:
            return {**render(_stored(row)), "in_force": row.version == current}

        query = self._select().where(self._versions.c.name == name)
        return page(connection, query, [self._versions.c.version], paging, item)

    def _select(self) -> Select[Any]:
        return select(self._versions).where(self._versions.c.kind == self.kind)

    def _current(self) -> Select[Any]:
        heads, versions = self._heads.c, self._versions.c
        joined = (heads.kind == versions.kind) & (heads.name == versions.name)
        return (
            select(self._versions, heads.seq)
            .join(self._heads, joined & (heads.version == versions.version))
            .where(heads.kind == self.kind, heads.deleted.is_(False))
        )

    def _head(self, connection: Connection, name: str, *, lock: bool = False) -> Row[Any] | None:
        query = select(self._heads).where(self._heads.c.kind == self.kind, self._heads.c.name == name)
        return connection.execute(query.with_for_update() if lock else query).one_or_none()

    def _lock(self, connection: Connection, name: str) -> Row[Any]:
        """The document's head, locked until the transaction ends. A new name gets a head (deleted, version 0)."""
        row = {"kind": self.kind, "name": name, "version": 0, "newest": 0, "deleted": True}
        insert_new(connection, self._heads, [row], ["kind", "name"])
        head = self._head(connection, name, lock=True)
        assert head is not None  # noqa: S101 - inserted above
        return head

    def _before(self, connection: Connection, head: Row[Any]) -> StoredDocument | None:
        """The version in force, by the locked head."""
        return None if head.deleted else self.version(connection, head.name, head.version)

    def _save(
        self, connection: Connection, stored: StoredDocument, *, publish: bool = True
    ) -> StoredDocument:
        connection.execute(insert(self._versions).values(kind=self.kind, **msgspec.structs.asdict(stored)))
        into_force = {"version": stored.version, "deleted": stored.deleted} if publish else {}
        self._set(connection, stored.name, newest=stored.version, **into_force)
        return stored

    def _set(self, connection: Connection, name: str, **columns: Any) -> None:
        mine = (self._heads.c.kind == self.kind) & (self._heads.c.name == name)
        connection.execute(update(self._heads).where(mine).values(**columns))

    def _not_found(self, name: str) -> NotFound:
        return NotFound(f"there is no {self.kind} {name!r}")


def _stored(row: Row[Any]) -> StoredDocument:
    return StoredDocument(row.name, row.version, row.doc, row.changed_by, row.changed_at, row.deleted)
