"""`/v1/sources`: how other systems' webhooks become events."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.api import DocumentKind, documents_router, dump
from backbone.documents.store import StoredDocument
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from schemas.answers import SecretsCheckOut, SourceOut
from schemas.lint.source import lint_source
from schemas.source import SOURCE_EXAMPLE, SourceIn
from services.ingest import source_secrets as secrets
from services.ingest.api import models
from services.ingest.hooks import HookReceiver
from services.ingest.saved_sources import SOURCES, SavedSources
from services.ingest.sources.requests import made_up

Name = Annotated[str, Path(min_length=1, max_length=256)]
PreviewBody = Annotated[models.HookIn, example({"body": {"id": "evt_1", "type": "invoice.payment_failed"}})]
Body = Annotated[SourceIn, AS_SHOWN, example(SOURCE_EXAMPLE)]


def sources_routers(db: Database, clock: Clock, saved: SavedSources, hooks: HookReceiver) -> list[APIRouter]:
    """The documents, their check, and what one would make of a body."""
    routes = APIRouter(tags=["sources"], route_class=JsonRoute)
    _check(routes, db)
    _preview(routes, hooks)
    return [
        routes,
        documents_router(
            DocumentKind(
                "/v1/sources", "source", SourceIn, SourceOut, SOURCE_EXAMPLE,
                "rules:read", "rules:write", prepare=_prepared, render=secrets.hidden,
                saved=saved.note, removing=saved.note, lint=lambda _connection, body: lint_source(body),
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
        return json_response({"warnings": lint_source(body), "secrets_differ": differ})


def _preview(routes: APIRouter, hooks: HookReceiver) -> None:
    @routes.post(
        "/v1/sources/{name}/preview",
        response_model=models.HookPreview,
        summary="Show which events the source would make of a body",
    )
    async def preview(name: Name, body: PreviewBody, _: Principal = require("rules:read")) -> Response:
        """Nothing is kept, and nobody's signature is asked for. `left_out` says of every other element why it
        becomes no event.
        """
        return json_response(await hooks.preview(name, made_up(body.body, body.headers)))
