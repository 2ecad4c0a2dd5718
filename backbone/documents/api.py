"""The routes of one kind of named documents: POST, GET, PUT, DELETE, versions and their publication.

documents_router(DocumentKind(path="/v1/playbooks", noun="playbook", model=PlaybookIn, answer=PlaybookOut, example=…,
                      read="actions:read", write="actions:write"), DocumentStore(tables, "playbook"), db, clock)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from backbone.audit import AuditTrail
from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.in_use import refuse_if_used
from backbone.documents.store import DocumentStore, Keep, StoredDocument
from backbone.errors import Invalid
from backbone.web.api_keys import Principal, require
from backbone.web.app import Once, Pages, json_response
from backbone.web.audit import Trail
from backbone.web.json_route import AS_SHOWN, JsonRoute, created, example, named_in_address
from backbone.web.validation import validate
from schemas.answers import CheckOut, page_of, versions_of
from schemas.event import rfc3339
from schemas.fields import EmptyBody
from schemas.lint.single import LintWarning

Name = Annotated[str, Path(min_length=1, max_length=256)]
IfMatch = Annotated[
    str | None,
    Header(
        description="The ETag of the version that you are changing. If it is no longer current, the change "
        "is refused with 412."
    ),
]
Publish = Annotated[
    bool,
    Query(
        description="With `false`, a version is saved but not put into force. To do so later, use "
        "`…/versions/{version}/publish`."
    ),
]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
Prepared = Mapping[str, Any]
Model = TypeVar("Model", bound=BaseModel)


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


def given(stored: StoredDocument) -> dict[str, Any]:
    """The body that was saved as this version."""
    return {**stored.doc, "name": stored.name}


def read_again(model: type[Model], version: int, body: Mapping[str, Any]) -> Model:
    """The body of a saved version. Raises `Invalid` if this program no longer takes it."""
    try:
        return validate(model, body)
    except Invalid as error:
        message = f"version {version} can no longer be read: {error.message}"
        raise Invalid(error.errors, message, code="unreadable") from None


class Check(Protocol):
    """Returns warnings about a body. `alone`: without looking at other documents. Raises `Invalid`."""

    def __call__(self, connection: Connection, body: Any, *, alone: bool) -> list[LintWarning]: ...


# What narrows a list: given the transaction, it says which documents belong; None: all do.
Filter = Callable[[Connection], Keep] | None


def unfiltered() -> Filter:
    """The dependency of a list that has no parameters of its own."""
    return None


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
    # body, version in force → stored fields
    prepare: Callable[[Connection, Any, StoredDocument | None], Prepared] = dump
    render: Callable[[StoredDocument], dict[str, Any]] = show
    created: Callable[[StoredDocument], dict[str, Any]] | None = None  # answers a save; default: `render`
    # a version that need not be the one in force; default: `render`
    render_version: Callable[[StoredDocument], dict[str, Any]] | None = None
    version_answer: type[BaseModel] | None = None  # of its result; default: `answer`
    given: Callable[[StoredDocument], dict[str, Any]] = given  # the body of a version, to be checked again
    shown_once: frozenset[str] = frozenset()  # fields that only the first answer to a save shows
    # a version comes into force
    saved: Callable[[Connection, Any, StoredDocument], None] = lambda _connection, _body, _stored: None
    removing: Callable[[Connection, str], None] = lambda _connection, _name: None
    lint: Callable[[Connection, Any], list[LintWarning]] | None = None  # `warnings` of the answer to a save
    narrow: Callable[..., Filter] = unfiltered  # the list's own parameters, as a dependency
    check: Check | None = None  # answers `POST …/check`


def documents_router(kind: DocumentKind, documents: DocumentStore, db: Database, clock: Clock) -> APIRouter:
    """The routes of one kind of document."""
    router = APIRouter(tags=[kind.path.rpartition("/")[2]], route_class=JsonRoute)
    _saving(router, kind, documents, db, clock)
    _publishing(router, kind, documents, db)
    if kind.check is not None:
        _checking(router, kind, kind.check, db)
    _reading(router, kind, documents, db)
    return router


def _saving(
    router: APIRouter, kind: DocumentKind, documents: DocumentStore, db: Database, clock: Clock
) -> None:
    Body = Annotated[kind.model, AS_SHOWN, example(kind.example)]  # type: ignore[name-defined]  # noqa: N806

    @router.post(kind.path, status_code=201, response_model=kind.answer, summary=f"Create a new {kind.noun}")
    def create(
        body: Body, once: Once, trail: Trail, publish: Publish = True, _: Principal = require(kind.write)
    ) -> Response:
        model: Any = body
        with db.write() as connection:

            def make() -> Response:
                doc = kind.prepare(connection, model, None)
                by, now = trail.actor, clock.now()
                saved = documents.create(connection, model.name, doc, by, now, publish=publish)
                _note(trail, connection, kind, None, saved, publish=publish)
                if publish:
                    return _in_force(kind, connection, model, saved, 201, kind.created)
                return _apart(kind, connection, model, saved, 201, None)

            return once.run(connection, make, kind.shown_once)

    @router.put(
        kind.path + "/{name}",
        response_model=kind.answer,
        responses=created(kind.answer),
        summary=f"Create or replace the {kind.noun}",
    )
    def put(
        body: Body,
        trail: Trail,
        name: str = named_in_address(),
        publish: Publish = True,
        if_match: IfMatch = None,
        _: Principal = require(kind.write),
    ) -> Response:
        with db.write() as connection:
            doc = kind.prepare(connection, body, documents.get(connection, name))
            by, now = trail.actor, clock.now()
            saved, before = documents.put(connection, name, doc, by, now, if_match, publish=publish)
            _note(trail, connection, kind, before, saved, publish=publish)
            status = 201 if before is None else 200
            if publish:
                return _in_force(kind, connection, body, saved, status, kind.created)
            return _apart(kind, connection, body, saved, status, before)

    @router.delete(
        kind.path + "/{name}", status_code=204, summary=f"Delete the {kind.noun} and keep its versions"
    )
    def delete(
        name: Name, trail: Trail, if_match: IfMatch = None, _: Principal = require(kind.write)
    ) -> Response:
        """Answers 409 if another document in force uses this one; `users` lists the kind and name of each."""
        with db.write() as connection:
            documents.fetch(connection, name)
            refuse_if_used(connection, kind.noun, name)
            kind.removing(connection, name)
            before = documents.delete(connection, name, trail.actor, clock.now(), if_match)
            _note(trail, connection, kind, before, None)
        return Response(status_code=204)


def _checking(router: APIRouter, kind: DocumentKind, checked: Check, db: Database) -> None:
    Body = Annotated[kind.model, AS_SHOWN, example(kind.example)]  # type: ignore[name-defined]  # noqa: N806
    summary = f"Check a {kind.noun} without saving it"

    @router.post(kind.path + "/check", response_model=CheckOut, summary=summary)
    def check(
        body: Body,
        alone: Annotated[
            bool,
            Query(description="Check the document on its own, without looking at other saved documents."),
        ] = False,
        _: Principal = require(kind.read),
    ) -> Response:
        with db.read() as connection:
            return json_response({"warnings": checked(connection, body, alone=alone)})


def _reading(router: APIRouter, kind: DocumentKind, documents: DocumentStore, db: Database) -> None:
    @router.get(kind.path, response_model=page_of(kind.answer), summary=f"List {kind.noun}s, newest first")
    def listed(
        pages: Pages,
        filter_: Annotated[Filter, Depends(kind.narrow)],
        _: Principal = require(kind.read),
    ) -> Response:
        with db.read() as connection:
            keep = None if filter_ is None else filter_(connection)
            return json_response(documents.page(connection, pages, kind.render, keep))

    @router.get(kind.path + "/{name}", response_model=kind.answer, summary=f"Get the {kind.noun} in force")
    def one(name: Name, _: Principal = require(kind.read)) -> Response:
        with db.read() as connection:
            stored = documents.fetch(connection, name)
        return json_response(kind.render(stored), headers={"ETag": stored.etag})

    @router.get(
        kind.path + "/{name}/versions",
        response_model=versions_of(kind.version_answer or kind.answer),
        summary=f"List the versions of the {kind.noun}, newest first",
    )
    def versions(name: Name, pages: Pages, _: Principal = require(kind.read)) -> Response:
        with db.read() as connection:
            return json_response(
                documents.versions(connection, name, pages, kind.render_version or kind.render)
            )


def _publishing(router: APIRouter, kind: DocumentKind, documents: DocumentStore, db: Database) -> None:
    @router.post(
        kind.path + "/{name}/versions/{version}/publish",
        response_model=kind.answer,
        summary=f"Put any saved version of the {kind.noun} into force",
    )
    def publish(
        name: Name,
        version: Version,
        trail: Trail,
        _body: Annotated[EmptyBody | None, example({})] = None,
        if_match: IfMatch = None,
        _: Principal = require(kind.write),
    ) -> Response:
        """The version is checked like a save, against the documents that exist now. No new version is
        created. If the version is in force already, nothing changes. If the document was deleted, this
        restores it.
        """
        with db.write() as connection:
            wanted = documents.publishable(connection, name, version)
            body = read_again(kind.model, version, kind.given(wanted))
            kind.prepare(connection, body, documents.get(connection, name))
            published, before = documents.publish(connection, name, version, if_match)
            if before is None or before.version != version:
                _note(trail, connection, kind, before, published)
            return _in_force(kind, connection, body, published, 200)


def _note(
    trail: AuditTrail,
    connection: Connection,
    kind: DocumentKind,
    before: StoredDocument | None,
    after: StoredDocument | None,
    *,
    publish: bool = True,
) -> None:
    """Write the audit entry of a change. A version that was only saved replaces none."""
    stored = after or before
    assert stored is not None  # noqa: S101 - the callers'
    was = None if before is None or not publish else {"version": before.version, **kind.given(before)}
    now = None if after is None else {"version": after.version, **kind.given(after)}
    if now is not None and not publish:
        now["in_force"] = False
    trail.note(connection, kind.noun, stored.name, version=stored.version, before=was, after=now)


def _in_force(
    kind: DocumentKind,
    connection: Connection,
    model: Any,
    stored: StoredDocument,
    status: int,
    show: Callable[[StoredDocument], dict[str, Any]] | None = None,
) -> Response:
    """Write what follows from a version that came into force, and answer it, with `warnings` if there are any."""
    kind.saved(connection, model, stored)
    headers = {"ETag": stored.etag}
    if status == 201:
        headers["Location"] = f"{kind.path}/{quote(stored.name, safe='')}"
    return _answer(kind, connection, model, (show or kind.render)(stored), status, headers)


def _apart(
    kind: DocumentKind,
    connection: Connection,
    model: Any,
    stored: StoredDocument,
    status: int,
    before: StoredDocument | None,
) -> Response:
    """The answer to a save that changes nothing in force: the version, and the ETag of the one in force."""
    headers = {} if before is None else {"ETag": before.etag}
    if status == 201:
        headers["Location"] = f"{kind.path}/{quote(stored.name, safe='')}/versions"
    shown = {**(kind.created or kind.render_version or kind.render)(stored), "in_force": False}
    return _answer(kind, connection, model, shown, status, headers)


def _answer(
    kind: DocumentKind,
    connection: Connection,
    model: Any,
    shown: dict[str, Any],
    status: int,
    headers: dict[str, str],
) -> Response:
    if kind.lint is not None and (doubts := kind.lint(connection, model)):
        shown = {**shown, "warnings": doubts}
    return json_response(shown, status, headers)
