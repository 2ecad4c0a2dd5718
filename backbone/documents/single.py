"""The routes of a document of which there is always one, in versions: GET, PUT, and a check without a save.

Before the first save it has the version 0 and the fields of `unsaved`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.api import IfMatch, dump
from backbone.documents.store import DocumentStore, StoredDocument
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.audit import Trail
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from backbone.web.pagination import etag
from schemas.answers import CheckOut
from schemas.event import rfc3339
from schemas.lint.single import LintWarning


@dataclass(frozen=True)
class SingleKind:
    """A kind of document of which there is one. `noun` is its name too: in files, in the store, in the audit."""

    noun: str  # /v1/{noun}
    title: str  # for people: "the sending policy"
    model: type[BaseModel]  # of a body
    answer: type[BaseModel]
    example: Any
    read: str  # required scope
    write: str  # required scope
    about: str  # what a save does, for the OpenAPI page
    lint: Callable[[Connection, Any], list[LintWarning]]  # `warnings` of a save, and of a check
    unsaved: dict[str, Any] = field(default_factory=dict)
    # What has to be done first, in a save's transaction.
    prepare: Callable[[Connection, Any], None] | None = None

    @property
    def path(self) -> str:
        """Its address."""
        return f"/v1/{self.noun}"


def single_router(kind: SingleKind, documents: DocumentStore, db: Database, clock: Clock) -> APIRouter:
    """The routes of one such document."""
    router = APIRouter(tags=[kind.noun], route_class=JsonRoute)
    _reading(router, kind, documents, db)
    _saving(router, kind, documents, db, clock)
    _checking(router, kind, db)
    return router


def _reading(router: APIRouter, kind: SingleKind, documents: DocumentStore, db: Database) -> None:
    @router.get(kind.path, response_model=kind.answer, summary=f"Get {kind.title}")
    def read(_: Principal = require(kind.read)) -> Response:
        with db.read() as connection:
            stored = documents.get(connection, kind.noun)
        if stored is None:
            return json_response({**kind.unsaved, "version": 0}, headers={"ETag": etag(0)})
        return json_response(_shown(stored), headers={"ETag": stored.etag})


def _saving(
    router: APIRouter, kind: SingleKind, documents: DocumentStore, db: Database, clock: Clock
) -> None:
    Body = Annotated[kind.model, AS_SHOWN, example(kind.example)]  # type: ignore[name-defined]  # noqa: N806

    @router.put(
        kind.path, response_model=kind.answer, summary=f"Replace {kind.title}", description=kind.about
    )
    def write(
        body: Body, trail: Trail, if_match: IfMatch = None, _: Principal = require(kind.write)
    ) -> Response:
        with db.write() as connection:
            if kind.prepare is not None:
                kind.prepare(connection, body)
            if if_match == etag(0) and documents.get(connection, kind.noun) is None:
                if_match = None  # the ETag that GET shows before the first save
            doc, now = dump(connection, body, None), clock.now()
            stored, before = documents.put(connection, kind.noun, doc, trail.actor, now, if_match)
            was = None if before is None else {"version": before.version, **before.doc}
            now_is = {"version": stored.version, **stored.doc}
            trail.note(connection, kind.noun, kind.noun, version=stored.version, before=was, after=now_is)
            doubts = kind.lint(connection, body)
        shown = {**_shown(stored), **({"warnings": doubts} if doubts else {})}
        return json_response(shown, headers={"ETag": stored.etag})


def _checking(router: APIRouter, kind: SingleKind, db: Database) -> None:
    Body = Annotated[kind.model, AS_SHOWN, example(kind.example)]  # type: ignore[name-defined]  # noqa: N806

    @router.post(
        f"{kind.path}/check", response_model=CheckOut, summary=f"Check {kind.title} without saving it"
    )
    def check(body: Body, _: Principal = require(kind.read)) -> Response:
        with db.read() as connection:
            return json_response({"warnings": kind.lint(connection, body)})


def _shown(stored: StoredDocument) -> dict[str, Any]:
    return {
        **stored.doc,
        "version": stored.version,
        "changed_by": stored.changed_by,
        "changed_at": rfc3339(stored.changed_at),
    }
