"""`/v1/sources`: how other systems' webhooks become events."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.api import DocumentKind, documents_router, dump
from backbone.documents.store import StoredDocument
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from schemas.answers import SecretsCheckOut, SourceOut
from schemas.source import SOURCE_EXAMPLE, SourceIn
from services.ingest import source_secrets as secrets
from services.ingest.saved_sources import SOURCES, SavedSources

Body = Annotated[SourceIn, AS_SHOWN, example(SOURCE_EXAMPLE)]


def sources_routers(db: Database, clock: Clock, saved: SavedSources) -> list[APIRouter]:
    """The documents, and their check."""
    routes = APIRouter(tags=["sources"], route_class=JsonRoute)
    _check(routes, db)
    return [
        routes,
        documents_router(
            DocumentKind(
                "/v1/sources", "source", SourceIn, SourceOut, SOURCE_EXAMPLE,
                "rules:read", "rules:write", prepare=_prepared, render=secrets.hidden,
                saved=saved.note, removing=saved.note,
            ), SOURCES, db, clock,
        ),
    ]  # fmt: skip


def _prepared(connection: Connection, body: Any, before: StoredDocument | None) -> dict[str, Any]:
    doc = dump(connection, body, before)
    return secrets.stored(doc, None if before is None else before.doc)


def _check(routes: APIRouter, db: Database) -> None:
    @routes.post(
        "/v1/sources/check", response_model=SecretsCheckOut, summary="Check a source without saving it"
    )
    def check(body: Body, _: Principal = require("rules:write")) -> Response:
        """Also tells whether the secrets are those that are stored, which no other answer shows."""
        with db.read() as connection:
            before = SOURCES.get(connection, body.name)
            after = _prepared(connection, body, before)
        differ = secrets.differ(after, {} if before is None else before.doc)
        return json_response({"warnings": [], "secrets_differ": differ})
