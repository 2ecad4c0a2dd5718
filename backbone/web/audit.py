"""`GET /v1/audit`, and what a handler writes its entries with.

@router.delete("/v1/things/{name}")  def delete(name: str, trail: Trail, …):
    with db.write() as connection:
        …
        trail.note(connection, "thing", name, before=…)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import Row, select

from backbone.audit import OF_ALL, AuditTrail
from backbone.database import Database
from backbone.tables import audit
from backbone.web.api_keys import CALLER, Principal, require
from backbone.web.pagination import After, Pages, Text, between, equal, newest, page
from backbone.web.responses import json_response
from schemas.answers import page_of
from schemas.audit import AuditEntryOut
from schemas.event import rfc3339

Object = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=600,
        description="Only changes of this object, as `kind/name`, or of this `kind` of objects.",
    ),
]
ALL = "all"
Origin = Annotated[
    Literal["ingest", "rules", "actions", "backbone", "all"] | None,
    Query(
        description="Only changes made in this service (`backbone`: of the keys), or with `all` in every service. "
        "The default is the services that answer, and the keys."
    ),
]
Owners = dict[Callable[..., Any], str]  # handlers to the names of their services


async def trail_of(request: Request) -> AuditTrail:
    """The dependency behind `Trail`."""
    caller: Principal | None = request.scope.get(CALLER)
    route: APIRoute = request.scope["route"]
    owners: Owners = request.app.state.owners
    service = owners.get(route.endpoint, OF_ALL)
    actor = "" if caller is None else caller.name
    return AuditTrail(request.app.state.clock, service, actor, request.method, route.path)


def owners_of(routers: Mapping[str, Sequence[APIRouter]]) -> Owners:
    """Which service a handler belongs to, from the routers of each."""
    return {
        route.endpoint: name
        for name, mine in routers.items()
        for router in mine
        for route in router.routes
        if isinstance(route, APIRoute)
    }


Trail = Annotated[AuditTrail, Depends(trail_of)]


def audit_router(db: Database, services: Sequence[str]) -> APIRouter:
    """The route. Every app answers with the entries of the services that it runs, and with those of the keys, or of
    whichever service is asked for: the table belongs to all."""
    router = APIRouter(tags=["audit"])
    mine = [*services, OF_ALL]

    @router.get("/v1/audit", response_model=page_of(AuditEntryOut), summary="List changes, newest first")
    def listed(
        pages: Pages,
        actor: Text = None,
        object: Object = None,
        service: Origin = None,
        after: After = None,
        _: Principal = require("admin"),
    ) -> Response:
        """Lists every successful change made over the API or with `touchline keys`, for as long as the log is
        kept. Sent events and moves of the clock are not listed. Secrets are masked, and accounts, contacts
        and what belongs to them appear by id only.
        """
        kind, _slash, name = (object or "").partition("/")
        query = equal(select(audit), actor=actor, kind=kind or None, name=name or None)
        if service != ALL:
            query = query.where(audit.c.service.in_(mine if service is None else [service]))
        query = between(query, audit.c.at, after, None)
        order = newest(audit.c.seq, audit.c.at, after, None)
        with db.read() as connection:
            return json_response(page(connection, query, order, pages, _view))

    return router


def _view(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": rfc3339(row.at),
        "service": row.service,
        "actor": row.actor,
        "method": row.method,
        "route": row.route,
        "object": f"{row.kind}/{row.name}",
        "version": row.version,
        "before": _raw(row.before),
        "after": _raw(row.after),
    }


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())
