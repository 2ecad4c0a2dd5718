"""The saved sources, compiled and in memory: every hook is read by the one in force.

A change is in force in this process once it is answered, and in every other within a second.
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from backbone.database import Database
from backbone.documents.registry import RegistryWatch
from backbone.documents.store import DocumentStore
from backbone.errors import Invalid
from backbone.telemetry import get_logger
from backbone.web.validation import validate
from schemas.source import SourceIn
from services.ingest.cached_reads import MAX_AGE_S, CachedRead
from services.ingest.sources.mapping import SourceMapping
from services.ingest.sources.verify import Check, verifier
from services.ingest.tables import documents

KIND = "source"
SOURCES = DocumentStore(documents, KIND)
log = get_logger("sources")


class SavedSource(NamedTuple):
    """A source in force, ready to read hooks."""

    version: int
    doc: SourceIn
    verify: Check
    mapping: SourceMapping


class SavedSources:
    """Belongs to the event loop, but for `note`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._changes = RegistryWatch(time.monotonic)
        nothing: Mapping[str, SavedSource | None] = {}
        self._known = CachedRead(self._read, nothing, changing=lambda: self._changes.within(2 * MAX_AGE_S))

    async def get(self, name: str) -> SavedSource | None:
        """The source in force; None if there is none."""
        return (await self._known.get()).get(name)

    def note(self, *_: Any) -> None:
        """Note that a source is being changed here, in a transaction that ends soon."""
        self._changes.note()

    def _read(self, before: Mapping[str, SavedSource | None]) -> Mapping[str, SavedSource | None]:
        with self._db.read() as connection:
            versions = SOURCES.current_versions(connection)
            return {
                name: known
                if (known := before.get(name)) is not None and known.version == version
                else _compiled(connection, name)
                for name, version in versions.items()
            }


def _compiled(connection: Connection, name: str) -> SavedSource | None:
    stored = SOURCES.get(connection, name)
    if stored is None:
        return None
    try:
        doc = validate(SourceIn, {**stored.doc, "name": name})
    except Invalid as error:  # saved by another version of Touchline
        log.error("a source cannot be read", source=name, version=stored.version, error=error.message)
        return None
    return SavedSource(stored.version, doc, verifier(doc), SourceMapping(doc))
