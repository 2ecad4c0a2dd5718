"""Named documents. Every save makes a new immutable version. `backbone.documents.api` is the HTTP side.

Versions are numbered on after a deletion, so that an ETag never means two things. All kinds of document of a
service share two tables.
"""

from collections.abc import Mapping
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
from backbone.errors import NameTaken, NotFound
from backbone.web.pagination import Paging, check_if_match, etag, page

Doc = Mapping[str, Any]
_Long = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only if the type is INTEGER


class DocumentTables(NamedTuple):
    """`heads`: one row per name, with the version in force. `versions`: one row per save."""

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
        Column("version", Integer, nullable=False),
        Column("deleted", Boolean, nullable=False),
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


class DocumentStore:
    """The documents of one kind ("playbook"). Every method works within the transaction of `connection`."""

    def __init__(self, tables: DocumentTables, kind: str) -> None:
        self.kind = kind
        self._heads, self._versions = tables

    def get(self, connection: Connection, name: str) -> StoredDocument | None:
        """The newest version; None if there is none or the document is deleted."""
        head = self._head(connection, name)
        return None if head is None or head.deleted else self.version(connection, name, head.version)

    def fetch(self, connection: Connection, name: str) -> StoredDocument:
        """The newest version. Raises `NotFound`."""
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

    def create(self, connection: Connection, name: str, doc: Doc, by: str, now: int) -> StoredDocument:
        """Save the first version, or the first after a deletion. Raises `NameTaken`."""
        head = self._lock(connection, name)
        if not head.deleted:
            raise NameTaken(f"there is a {self.kind} {name!r} already")
        return self._save(connection, name, doc, by, now, head.version + 1)

    def put(
        self, connection: Connection, name: str, doc: Doc, by: str, now: int, if_match: str | None = None
    ) -> tuple[StoredDocument, bool]:
        """Save a new version; returns it, and whether this created the document. Raises `PreconditionFailed`."""
        head = self._lock(connection, name)
        check_if_match(if_match, None if head.deleted else etag(head.version))
        return self._save(connection, name, doc, by, now, head.version + 1), bool(head.deleted)

    def delete(
        self, connection: Connection, name: str, by: str, now: int, if_match: str | None = None
    ) -> None:
        """Delete the document; its versions stay. Raises `NotFound`, `PreconditionFailed`."""
        head = self._lock(connection, name)
        if head.deleted:
            raise self._not_found(name)
        check_if_match(if_match, etag(head.version))
        self._save(connection, name, {}, by, now, head.version + 1, deleted=True)

    def all(self, connection: Connection) -> list[StoredDocument]:
        """The newest version of every document, by name."""
        return [_stored(row) for row in connection.execute(self._current().order_by(self._heads.c.name))]

    def current_versions(self, connection: Connection) -> dict[str, int]:
        """The newest version number of every document, without reading its content."""
        heads = self._heads.c
        query = select(heads.name, heads.version).where(heads.kind == self.kind, heads.deleted.is_(False))
        return {row.name: row.version for row in connection.execute(query)}

    def page(self, connection: Connection, paging: Paging, render: Any) -> dict[str, Any]:
        """A page of the documents, newest first. `render(Stored)` makes an item."""
        query = self._current()
        return page(connection, query, [self._heads.c.seq], paging, lambda row: render(_stored(row)))

    def versions(self, connection: Connection, name: str, paging: Paging, render: Any) -> dict[str, Any]:
        """A page of a document's versions, newest first. Raises `NotFound` if the name was never used."""
        if self._head(connection, name) is None:
            raise self._not_found(name)
        query = self._select().where(self._versions.c.name == name)
        return page(connection, query, [self._versions.c.version], paging, lambda row: render(_stored(row)))

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
        row = {"kind": self.kind, "name": name, "version": 0, "deleted": True}
        insert_new(connection, self._heads, [row], ["kind", "name"])
        head = self._head(connection, name, lock=True)
        assert head is not None  # noqa: S101 - inserted above
        return head

    def _save(
        self,
        connection: Connection,
        name: str,
        doc: Doc,
        by: str,
        now: int,
        version: int,
        *,
        deleted: bool = False,
    ) -> StoredDocument:
        mine = (self._heads.c.kind == self.kind) & (self._heads.c.name == name)
        connection.execute(update(self._heads).where(mine).values(version=version, deleted=deleted))
        stored = StoredDocument(name, version, dict(doc), by, now, deleted)
        connection.execute(insert(self._versions).values(kind=self.kind, **msgspec.structs.asdict(stored)))
        return stored

    def _not_found(self, name: str) -> NotFound:
        return NotFound(f"there is no {self.kind} {name!r}")


def _stored(row: Row[Any]) -> StoredDocument:
    return StoredDocument(row.name, row.version, row.doc, row.changed_by, row.changed_at, row.deleted)
