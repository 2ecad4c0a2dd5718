"""`/v1/endpoints` beside its documents: whether one fails or is disabled, enabling it, and what is sent again."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.api import DocumentKind, Filter, documents_router, dump
from backbone.documents.store import Keep, StoredDocument
from backbone.errors import FieldError, Invalid, StateConflict
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.audit import Trail
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from schemas.answers import EndpointOut, EndpointRetryOut, SecretsCheckOut
from schemas.endpoint import EndpointIn, EndpointRetryIn
from schemas.event import microseconds, rfc3339
from schemas.fields import EmptyBody
from services.actions.api import endpoint_secrets as secrets
from services.actions.api.views import moment
from services.actions.storage import again, endpoints
from services.actions.storage.endpoints import EndpointState
from services.actions.storage.library import ENDPOINTS

ENDPOINT_EXAMPLE = {"name": "crm", "url": "https://crm.example.com/hooks/touchline"}
TOLD = 3  # transactions in which webhooks that waited go on before the answer; the rest follow
Prepare = Callable[[Connection, Any, StoredDocument | None], Mapping[str, Any]]
Name = Annotated[str, Path(min_length=1, max_length=256)]
NoBody = Annotated[EmptyBody | None, example({})]
RetryBody = Annotated[EndpointRetryIn, example({"after": "2026-12-01T08:00:00Z"})]
Body = Annotated[EndpointIn, AS_SHOWN, example(ENDPOINT_EXAMPLE)]


def view(
    db: Database, show: Callable[[StoredDocument], dict[str, Any]] = secrets.hidden
) -> Callable[[StoredDocument], dict[str, Any]]:
    """Shows an endpoint: its version as `show` does, and whether it fails or is disabled."""

    def render(stored: StoredDocument) -> dict[str, Any]:
        with db.read() as connection:
            return {**show(stored), **state_view(endpoints.state(connection, stored.name))}

    return render


def state_view(state: EndpointState) -> dict[str, Any]:
    """The state of an endpoint, as the API shows it."""
    return {
        "status": "active" if state.disabled_at is None else "disabled",
        "failing_since": moment(state.failing_since),
    }


def routers(
    db: Database,
    clock: Clock,
    flaws: Callable[[dict[str, str]], list[FieldError]],
    changed: Callable[[], None],
) -> list[APIRouter]:
    """The routers. `flaws` finds the errors in templates; `changed` is called when webhooks may go on."""

    def stored(connection: Connection, body: EndpointIn, before: StoredDocument | None) -> Mapping[str, Any]:
        if errors := flaws(dict(body.texts())):
            raise Invalid(errors)
        return secrets.stored(dump(connection, body, before), None if before is None else before.doc)

    def forget(connection: Connection, name: str) -> None:
        endpoints.forget(connection, name, clock.now())

    def prepare(connection: Connection, body: EndpointIn, before: StoredDocument | None) -> Mapping[str, Any]:
        if before is None:
            forget(connection, body.name)
        return stored(connection, body, before)

    routes = APIRouter(tags=["endpoints"], route_class=JsonRoute)
    _check(routes, db, stored)
    _enable(routes, db, clock, changed)
    _retry(routes, db, clock, changed)
    return [
        routes,
        documents_router(
            DocumentKind(
                "/v1/endpoints", "endpoint", EndpointIn, EndpointOut, ENDPOINT_EXAMPLE,
                "actions:read", "actions:write", prepare=prepare, removing=forget,
                narrow=_narrow, render=view(db), created=view(db, secrets.shown_once),
                render_version=secrets.hidden, given=secrets.given, shown_once=frozenset({"secret"}),
            ), ENDPOINTS, db, clock,
        ),
    ]  # fmt: skip


def _narrow(status: Literal["active", "disabled"] | None = None) -> Filter:
    if status is None:
        return None

    def of(connection: Connection) -> Keep:
        disabled = {one.name for one in endpoints.failing(connection) if one.disabled_at is not None}
        return lambda stored: (stored.name in disabled) == (status == "disabled")

    return of


def _check(routes: APIRouter, db: Database, prepare: Prepare) -> None:
    @routes.post(
        "/v1/endpoints/check",
        response_model=SecretsCheckOut,
        summary="Check an endpoint without saving it",
    )
    def check(body: Body, _: Principal = require("actions:write")) -> Response:
        """Also tells whether the secrets are those that are stored, which no other answer shows."""
        with db.read() as connection:
            before = ENDPOINTS.get(connection, body.name)
            after = prepare(connection, body, before)
        differ = secrets.differ(after, {} if before is None else before.doc)
        return json_response({"warnings": [], "secrets_differ": differ})


def _enable(routes: APIRouter, db: Database, clock: Clock, changed: Callable[[], None]) -> None:
    @routes.post(
        "/v1/endpoints/{name}/enable",
        response_model=EndpointOut,
        summary="Use a disabled endpoint again and send what waits for it",
    )
    def enable(
        name: Name, trail: Trail, _body: NoBody = None, _: Principal = require("actions:write")
    ) -> Response:
        with db.write() as connection:
            stored = ENDPOINTS.fetch(connection, name)
            before = endpoints.enable(connection, name, clock.now())
            if before is None:
                raise StateConflict("the endpoint is not disabled")
            after = state_view(EndpointState(name))
            trail.note(connection, "endpoint", name, before=state_view(before), after=after)
        go_on(db, clock)
        changed()
        return json_response(view(db)(stored))


def _retry(routes: APIRouter, db: Database, clock: Clock, changed: Callable[[], None]) -> None:
    @routes.post(
        "/v1/endpoints/{name}/retry",
        status_code=202,
        response_model=EndpointRetryOut,
        summary="Send webhooks of the endpoint again",
    )
    def retry(name: Name, body: RetryBody, trail: Trail, _: Principal = require("actions:write")) -> Response:
        """Each has the same id and body as before, and its retries start anew. Webhooks whose play has
        exited are left out. While the endpoint is disabled, they wait.
        """
        asked = {"after": rfc3339(microseconds(body.after)), "status": body.status}
        count, more = 0, True
        while more:
            with db.write() as connection:
                ENDPOINTS.fetch(connection, name)
                found = again.endpoint_again(
                    connection, "webhook", name, body.status, microseconds(body.after), clock.now()
                )
                if found:
                    trail.note(connection, "endpoint", name, after={"retry": asked | {"count": found}})
            count, more = count + found, found == again.AT_ONCE
        changed()
        return json_response({"count": count}, 202)


def go_on(db: Database, clock: Clock) -> None:
    """Let webhooks go on whose endpoint is not disabled any more, as far as that is quick; others do the rest."""
    for _ in range(TOLD):
        with db.write() as connection:
            if endpoints.let_go(connection, clock.now()) < endpoints.AT_ONCE:
                return
