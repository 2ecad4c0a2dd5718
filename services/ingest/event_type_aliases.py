"""Aliases of event types: kept as one versioned document, and in memory for every event that arrives."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, NamedTuple

from fastapi import APIRouter, Response
from pydantic import Field

from backbone.audit import AuditTrail
from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.api import IfMatch
from backbone.documents.store import DocumentStore, StoredDocument
from backbone.web.api_keys import Principal, require
from backbone.web.app import etag, json_response
from backbone.web.audit import Trail
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from schemas.aliases import ALIASES_EXAMPLE, AliasesDoc
from schemas.answers import Answer, Time
from schemas.event import rfc3339
from services.ingest.cached_reads import CachedRead
from services.ingest.tables import documents

KIND = "aliases"


class AliasesOut(AliasesDoc, Answer):
    """The saved aliases. Before the first save, `version` is 0, and nobody has changed them."""

    read_only: ClassVar[frozenset[str]] = frozenset()

    version: int = Field(examples=[3])
    changed_by: str = Field(default="", description="The name of the API key.", examples=["jo"])
    changed_at: Time = ""


class AliasTable(NamedTuple):
    """The aliases, and the version of the document they come from."""

    version: int
    aliases: Mapping[str, str]


class Aliases:
    """Every ingest process knows of a change within a second; the process that saved it knows at once."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._documents = DocumentStore(documents, KIND)
        self._names = CachedRead(self._read, AliasTable(0, {}), newer=_newer)

    async def names(self) -> Mapping[str, str]:
        """The aliases in force now."""
        return (await self._names.get()).aliases

    def stored(self) -> StoredDocument | None:
        """The newest version; None if none was ever saved. Blocks."""
        with self._db.read() as connection:
            return self._documents.get(connection, KIND)

    def save(self, doc: AliasesDoc, trail: AuditTrail, if_match: str | None) -> StoredDocument:
        """Save a new version, which is in force here when this returns. Raises `PreconditionFailed`. Blocks."""
        with self._db.write() as connection:
            if if_match == etag(0) and self._documents.get(connection, KIND) is None:
                if_match = None  # the ETag that GET shows before the first save
            body = doc.model_dump(mode="json")
            stored, before = self._documents.put(
                connection, KIND, body, trail.actor, self._clock.now(), if_match
            )
            was = None if before is None else before.doc
            trail.note(connection, KIND, KIND, version=stored.version, before=was, after=body)
        self._names.put(_names(stored))
        return stored

    def _read(self, before: AliasTable) -> AliasTable:
        with self._db.read() as connection:
            version = self._documents.current_versions(connection).get(KIND, 0)
            if version <= before.version:
                return before
            return _names(self._documents.fetch(connection, KIND))


def _names(stored: StoredDocument) -> AliasTable:
    return AliasTable(stored.version, stored.doc["aliases"])


def _newer(one: AliasTable, other: AliasTable) -> AliasTable:
    """The newer table. A query that began before a save here may end after it; then the save counts."""
    return max(one, other, key=lambda names: names.version)


def aliases_router(aliases: Aliases) -> APIRouter:
    """`GET` and `PUT /v1/aliases`."""
    router = APIRouter(tags=["aliases"], route_class=JsonRoute)

    @router.get("/v1/aliases", response_model=AliasesOut, summary="Get the aliases of event types")
    def read(_: Principal = require("rules:read")) -> Response:
        stored = aliases.stored()
        if stored is None:
            return json_response({"aliases": {}, "version": 0}, headers={"ETag": etag(0)})
        return _shown(stored)

    @router.put(
        "/v1/aliases",
        response_model=AliasesOut,
        summary="Replace the aliases of event types",
    )
    def write(
        body: Annotated[AliasesDoc, AS_SHOWN, example(ALIASES_EXAMPLE)],
        trail: Trail,
        if_match: IfMatch = None,
        _: Principal = require("rules:write"),
    ) -> Response:
        """Replaces the whole list. With an alias, events that an SDK or another system names differently
        reach the rules that listen for them.

        Every event that this process receives after the answer is renamed, in whichever format it arrives.
        Other processes follow within a second. Events that are already in the log keep their names, and so do
        events that other programs write to Kafka.
        """
        return _shown(aliases.save(body, trail, if_match))

    return router


def _shown(stored: StoredDocument) -> Response:
    body = {
        **stored.doc,
        "version": stored.version,
        "changed_by": stored.changed_by,
        "changed_at": rfc3339(stored.changed_at),
    }
    return json_response(body, headers={"ETag": stored.etag})
