"""The saved sources, compiled and in memory: every hook is read by the one in force.

A change is in force in this process once it is answered, and in every other within a second.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from backbone.database import Database
from backbone.documents.registry import RegistryWatch
from backbone.documents.store import DocumentStore
from backbone.errors import DatabaseUnavailable, Invalid
from backbone.telemetry import get_logger
from backbone.web.validation import validate
from schemas.source import SourceIn
from services.ingest.cached_reads import MAX_AGE_S, PATIENCE_S
from services.ingest.sources.mapping import SourceMapping
from services.ingest.sources.verify import Check, verifier
from services.ingest.tables import documents
from services.ingest.thread_pools import at_the_door

KIND = "source"
LONG_PATIENCE_S = 5.0  # how long a hook waits to hear whether its source is there
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

    def __init__(self, db: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._monotonic = monotonic
        self._changes = RegistryWatch(monotonic)
        self._known: Mapping[str, SavedSource | None] = {}
        self._began = self._looked = -math.inf  # of the read that `known` is of; of the last one
        self._task: asyncio.Task[None] | None = None

    async def get(self, name: str) -> SavedSource | None:
        """The source in force; None if there is none. Raises `DatabaseUnavailable` where that is not known.

        While the database is away or slow, a source that is known stays as it was.
        """
        if self._changes.within(2 * MAX_AGE_S):
            await self._refresh()  # one of its own: one that is under way may have begun before the save
        elif self._monotonic() - self._looked > MAX_AGE_S or (name not in self._known and self._behind()):
            await self._look(PATIENCE_S if name in self._known else LONG_PATIENCE_S)
        return self._known.get(name)

    def _behind(self) -> bool:
        """Whether the last read has not come to an end."""
        return self._task is not None and (not self._task.done() or self._task.exception() is not None)

    async def _look(self, patience: float) -> None:
        """Read once for all current callers."""
        task = self._task
        if task is None or task.done():
            self._looked = self._monotonic()
            task = self._task = asyncio.get_running_loop().create_task(self._refresh())
        done, _ = await asyncio.wait({task}, timeout=patience)
        error = task.exception() if done else DatabaseUnavailable("the sources could not be read in time")
        if patience == LONG_PATIENCE_S and error is not None:
            raise error

    async def _refresh(self) -> None:
        began = self._monotonic()
        found = await at_the_door(self._read, self._known)
        if began >= self._began:
            self._known, self._began = found, began

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
