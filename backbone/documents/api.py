"""The routes of one kind of named documents: POST, GET, PUT, DELETE and versions.

documents_router(DocumentKind(path="/v1/playbooks", noun="playbook", model=PlaybookIn, answer=PlaybookOut, example=…,
                      read="actions:read", write="actions:write"), DocumentStore(tables, "playbook"), db, clock)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.in_use import refuse_if_used
from backbone.documents.store import DocumentStore, StoredDocument
from backbone.web.api_keys import Principal, require
from backbone.web.app import Once, Pages, json_response
from backbone.web.json_route import AS_SHOWN, JsonRoute, created, example, named_in_address
from schemas.answers import CheckOut, page_of, versions_of
from schemas.event import rfc3339
from schemas.lint.single import LintWarning

Name = Annotated[str, Path(min_length=1, max_length=256)]
IfMatch = Annotated[str | None, Header(description="the ETag that the change builds on")]
Prepared = Mapping[str, Any]


def dump(_: Connection, model: BaseModel, __: StoredDocument | None) -> Prepared:
    """The stored form of a body: its fields as given."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def show(stored: StoredDocument) -> dict[str, Any]:
    """A version as the API shows it: its fields, then who changed it and when."""
    return {
        **stored.doc,
        "name": stored.name,
        "version": stored.version,
        "changed_by": stored.changed_by,
        "changed_at": rfc3339(stored.changed_at),
        **({"deleted": True} if stored.deleted else {}),
    }


class Check(Protocol):
    """Returns warnings about a body. `alone`: without looking at other documents. Raises `Invalid`."""

    def __call__(self, connection: Connection, body: Any, *, alone: bool) -> list[LintWarning]: ...


@dataclass(frozen=True)
class DocumentKind:
    """One kind of document. The hooks run in the saving transaction and may raise `Invalid`."""

    path: str
    noun: str
    model: type[BaseModel]  # of a body
    answer: type[BaseModel]  # of the result of `render` and `created`
    example: Any
    read: str  # required scope
    write: str  # required scope
    # body, version before → stored fields
    prepare: Callable[[Connection, Any, StoredDocument | None], Prepared] = dump
    render: Callable[[StoredDocument], dict[str, Any]] = show
    created: Callable[[StoredDocument], dict[str, Any]] | None = None  # answers a save; default: `render`
    shown_once: frozenset[str] = frozenset()  # fields that only the first answer to a save shows
    saved: Callable[[Connection, Any, StoredDocument], None] = lambda _connection, _body, _stored: None
    removing: Callable[[Connection, str], None] = lambda _connection, _name: None
    lint: Callable[[Connection, Any], list[LintWarning]] | None = None  # `warnings` of the answer to a save
    check: Check | None = None  # answers `POST …/check`


def documents_router(kind: DocumentKind, documents: DocumentStore, db: Database, clock: Clock) -> APIRouter:
    """The routes of one kind of document."""
    router = APIRouter(tags=[kind.path.rpartition("/")[2]], route_class=JsonRoute)
    _saving(router, kind, documents, db, clock)
    if kind.check is not None:
        _checking(router, kind, kind.check, db)
    _reading(router, kind, documents, db)
    return router


def _saving(
    router: APIRouter, kind: DocumentKind, documents: DocumentStore, db: Database, clock: Clock
) -> None:
    Body = Annotated[kind.model, AS_SHOWN, example(kind.example)]  # type: ignore[name-defined]  # noqa: N806

    @router.post(kind.path, status_code=201, response_model=kind.answer, summary=f"Create a {kind.noun}")
    def create(body: Body, once: Once, principal: Principal = require(kind.write)) -> Response:
        model: Any = body
        with db.write() as connection:

            def make() -> Response:
                doc = kind.prepare(connection, model, None)
                saved = documents.create(connection, model.name, doc, principal.name, clock.now())
                return _answer(kind, connection, model, saved, 201)

            return once.run(connection, make, kind.shown_once)

    @router.put(
        kind.path + "/{name}",
        response_model=kind.answer,
        responses=created(kind.answer),
        summary=f"Create or replace a {kind.noun}",
    )
    def put(
        body: Body,
        name: str = named_in_address(),
        if_match: IfMatch = None,
        principal: Principal = require(kind.write),
    ) -> Response:
        with db.write() as connection:
            doc = kind.prepare(connection, body, documents.get(connection, name))
            saved, new = documents.put(connection, name, doc, principal.name, clock.now(), if_match)
            return _answer(kind, connection, body, saved, 201 if new else 200)

    @router.delete(kind.path + "/{name}", status_code=204, summary=f"Delete a {kind.noun}; its versions stay")
    def delete(name: Name, if_match: IfMatch = None, principal: Principal = require(kind.write)) -> Response:
        """409 with `users` (kind and name of each) where another document in force names it."""
        with db.write() as connection:
            documents.fetch(connection, name)
            refuse_if_used(connection, kind.noun, name)
            kind.removing(connection, name)
            documents.delete(connection, name, principal.name, clock.now(), if_match)
        return Response(status_code=204)


def _checking(router: APIRouter, kind: DocumentKind, checked: Check, db: Database) -> None:
    Body = Annotated[kind.model, AS_SHOWN, example(kind.example)]  # type: ignore[name-defined]  # noqa: N806
    summary = f"What a {kind.noun} would be refused or warned for; nothing is saved"

    @router.post(kind.path + "/check", response_model=CheckOut, summary=summary)
    def check(
        body: Body,
        alone: Annotated[bool, Query(description="leave other saved documents out")] = False,
        _: Principal = require(kind.read),
    ) -> Response:
        with db.read() as connection:
            return json_response({"warnings": checked(connection, body, alone=alone)})


def _reading(router: APIRouter, kind: DocumentKind, documents: DocumentStore, db: Database) -> None:
    @router.get(kind.path, response_model=page_of(kind.answer), summary=f"All {kind.noun}s, newest first")
    def listed(pages: Pages, _: Principal = require(kind.read)) -> Response:
        with db.read() as connection:
            return json_response(documents.page(connection, pages, kind.render))

    @router.get(kind.path + "/{name}", response_model=kind.answer, summary=f"A {kind.noun} as it is now")
    def one(name: Name, _: Principal = require(kind.read)) -> Response:
        with db.read() as connection:
            stored = documents.fetch(connection, name)
        return json_response(kind.render(stored), headers={"ETag": stored.etag})

    @router.get(
        kind.path + "/{name}/versions",
        response_model=versions_of(kind.answer),
        summary=f"Every version of a {kind.noun}, newest first",
    )
    def versions(name: Name, pages: Pages, _: Principal = require(kind.read)) -> Response:
        with db.read() as connection:
            return json_response(documents.versions(connection, name, pages, kind.render))


def _answer(
    kind: DocumentKind, connection: Connection, model: Any, stored: StoredDocument, status: int
) -> Response:
    """The answer to a save, with `warnings` if there are any."""
    body = (kind.created or kind.render)(stored)
    kind.saved(connection, model, stored)
    if kind.lint is not None and (doubts := kind.lint(connection, model)):
        body = {**body, "warnings": doubts}
    headers = {"ETag": stored.etag}
    if status == 201:
        headers["Location"] = f"{kind.path}/{quote(stored.name, safe='')}"
    return json_response(body, status, headers)
