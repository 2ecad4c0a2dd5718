"""The HTTP side that all services share: the app, problem+json, bodies, lists, ETags and idempotent POSTs.

app = create_app("Touchline", settings=…, db=…, log=…, clock=…, services=[…])
@router.get("/v1/things")            def things(pages: Pages, _: Principal = require("rules:read")) -> …
@router.post("/v1/things")           def create(body: ThingIn, once: Once, …)   # see backbone.web.json_route
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Match
from starlette.types import ASGIApp

from backbone.clock import Clock, SteadyClock
from backbone.database import Database
from backbone.errors import TouchlineError
from backbone.housekeeping import HousekeepingJob
from backbone.log import EVENTS, TRIGGERS, Log
from backbone.settings import Settings
from backbone.single_flight import SingleFlight
from backbone.status_metrics import Sample, StatusCollector
from backbone.telemetry import REGISTRY
from backbone.web.account_record import Parts, record_router
from backbone.web.api_keys import ANY, OPEN, Keys, Principal, open_route, require
from backbone.web.assets import assets_router
from backbone.web.attention import Attention, attention_router
from backbone.web.audit import audit_router, owners_of
from backbone.web.cors import let_browsers_in
from backbone.web.docs_page import docs_page
from backbone.web.idempotency import Idempotency, Once
from backbone.web.json_route import check_bodies, refused
from backbone.web.keys import keys_router
from backbone.web.middleware import RequestMiddleware, problem, problem_of
from backbone.web.openapi import MANNERS, declared_scopes, install, route_scope
from backbone.web.pagination import Pages, Paging, check_if_match, decode_cursor, encode_cursor, etag, page
from backbone.web.query_params import any_query, guard
from backbone.web.responses import json_response
from backbone.web.route_lookup import RouteTable, direct
from backbone.web.validation import validate
from schemas.answers import HealthOut, ReadinessOut, StatusOut
from schemas.event import rfc3339
from schemas.version import VERSION

__all__ = [
    "Idempotency",
    "Once",
    "Pages",
    "Paging",
    "Service",
    "any_query",
    "check_if_match",
    "create_app",
    "declared_scopes",
    "decode_cursor",
    "encode_cursor",
    "etag",
    "json_response",
    "page",
    "problem",
    "validate",
]
# seconds for which all callers get the same answer to open requests that take us time
READY_S, METRICS_S = 0.1, 1.0


class Service(Protocol):
    """The interface of `services/<x>/service.py`. A service is built from settings, database, log and clock."""

    name: str

    @property
    def routers(self) -> Sequence[APIRouter]:
        """Its routes."""
        ...

    def start(self) -> None:
        """Start the service's threads."""
        ...

    def stop(self) -> None:
        """Stop the threads; returns once they have ended."""
        ...

    def status(self) -> Mapping[str, Any]:
        """The service's part of `/v1/status`: `lag`, `clock`, …; `idle` says whether there is nothing left to do."""
        ...

    def measure(self) -> Iterable[Sample]:
        """See `backbone.status_metrics.Measured`."""
        ...

    def places(self) -> Mapping[tuple[str, int], int]:
        """How far it has read the log: (topic, partition) → offset to read next. See `backbone.store_identity`."""
        ...

    def ready(self) -> bool:
        """Whether it can work now."""
        ...

    def attention(self) -> Iterable[Attention]:
        """See `backbone.web.attention.Watched`."""
        ...

    def record(self, account: str, contact: str | None) -> Parts:
        """See `backbone.web.account_record.Keeps`."""
        ...

    @property
    def chores(self) -> Sequence[HousekeepingJob]:
        """Jobs to run now and then, in a thread that belongs to no service."""
        ...


def create_app(
    title: str,
    *,
    settings: Settings,
    db: Database,
    log: Log,
    clock: Clock,
    services: Sequence[Service],
    description: str = MANNERS,
) -> FastAPI:
    """The app of these services, with health, metrics, status and docs. The caller starts and stops the services."""
    app = _bare(title, description)
    app.state.settings, app.state.db, app.state.log, app.state.clock = settings, db, log, clock
    app.state.keys = Keys(db)
    app.state.owners = owners_of({service.name: service.routers for service in services})
    for router in [
        _health(db, log, clock, services),
        record_router(services, clock),
        audit_router(db, [service.name for service in services]),
        keys_router(db, clock),
        attention_router(services),
        *(router for service in services for router in service.routers),
    ]:
        # flat: one look-up per request, and every route can be seen
        app.router.routes.extend(router.routes)
    app.router.routes.extend([*_docs(app).routes, *assets_router().routes])
    gate = RequestMiddleware(_finished(app), keys=app.state.keys, doors=RouteTable(app.routes))
    app.middleware_stack = let_browsers_in(gate, app.routes, settings.cors_origins)
    return app


def open_app(title: str, routers: Iterable[APIRouter]) -> FastAPI:
    """An app of open routes alone, for a process without a database. Put `ProblemMiddleware` around it."""
    app = _bare(title, "")
    for router in [*routers, assets_router()]:
        app.router.routes.extend(router.routes)
    app.middleware_stack = _finished(app)
    return app


def _bare(title: str, description: str) -> FastAPI:
    return FastAPI(
        title=title,
        version=VERSION,
        description=description,
        redirect_slashes=False,
        redoc_url=None,
        docs_url=None,
        openapi_url=None,
        strict_content_type=False,
        separate_input_output_schemas=False,
    )


def _finished(app: FastAPI) -> ASGIApp:
    """What answers once all routes are there, without the framework's own layer for unexpected errors: ours is around
    it, and answers them itself."""
    _heads(app)
    check_bodies(app.routes)
    _keys_first(app)
    guard(app)
    app.add_exception_handler(TouchlineError, _own)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http_error)
    install(app)
    inner = app.build_middleware_stack()
    assert isinstance(inner, ServerErrorMiddleware)  # noqa: S101 - how Starlette builds it
    return inner.app


def _keys_first(app: FastAPI) -> None:
    """Check the key first: a caller without the right key learns nothing of what else is wrong with the request."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            route.dependant.dependencies.sort(key=lambda each: not hasattr(each.call, "route_scope"))


def _heads(app: FastAPI) -> None:
    """Let open GET routes answer HEAD too, as probes ask: the same answer, whose body the server leaves out."""
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route_scope(route) == OPEN]
    have = {route.path for route in routes if "HEAD" in (route.methods or ())}
    for route in routes:
        if "GET" in (route.methods or ()) and route.path not in have:
            app.router.add_api_route(
                route.path,
                route.endpoint,
                methods=["HEAD"],
                dependencies=[open_route],
                include_in_schema=False,
                response_model=None,
            )


def _health(db: Database, log: Log, clock: Clock, services: Sequence[Service]) -> APIRouter:
    router = APIRouter(tags=["status"])
    readiness = SingleFlight(partial(_readiness, db, log, services), keep_s=READY_S)
    alive = json_response({"status": "ok"})
    figures = SingleFlight(partial(_metrics, StatusCollector(services)), keep_s=METRICS_S)

    @router.get(
        "/healthz",
        dependencies=[open_route],
        response_model=HealthOut,
        summary="Check that the process is alive",
    )
    @any_query
    @direct
    async def healthz() -> Response:
        return alive

    not_ready: dict[int | str, dict[str, Any]] = {
        503: {"model": ReadinessOut, "description": "Something cannot be reached."}
    }

    @router.get(
        "/readyz",
        dependencies=[open_route],
        response_model=ReadinessOut,
        responses=not_ready,
        summary="Check that the log and the database can be reached",
    )
    @any_query
    @direct
    async def readyz() -> Response:
        return await readiness()

    @router.get(
        "/metrics",
        dependencies=[open_route],
        response_class=PlainTextResponse,
        summary="Get metrics for Prometheus",
    )
    @any_query
    @direct
    async def metrics() -> Response:
        return await figures()

    @router.get(
        "/v1/status",
        response_model=StatusOut,
        summary="Get how far each service has come",
    )
    def status(_: Principal = require(ANY)) -> Response:
        before = _ends(log)
        parts = {each.name: dict(each.status()) for each in services}
        idle = all(tuple(bool(part.pop("idle", True)) for part in parts.values()))
        # Each service was asked at a different moment: they were idle together if the log stood still meanwhile.
        after = _ends(log)
        said = {
            "idle": idle and before == after,
            "services": {name: part for name, part in parts.items() if part},
            "log": {
                name: sum(ends.values()) for name, ends in zip(("events", "triggers"), after, strict=True)
            },
        }
        return json_response(said | _clock_trouble(clock))

    return router


def _clock_trouble(clock: Clock) -> dict[str, Any]:
    """Why this process does not trust the machine's clock; empty if it does."""
    jump = clock.jump() if isinstance(clock, SteadyClock) else None
    if jump is None:
        return {}
    detail = (
        f"the machine's clock jumped {'ahead' if jump.by > 0 else 'back'} by {abs(jump.by) // 1_000_000:,} s, and no "
        "such time passed. We go on by the time that did. Set the clock right; if the new time is the right one, "
        "restart, or set TOUCHLINE_CLOCK_JUMPS=follow"
    )
    return {"clock": {"jumped_s": jump.by // 1_000_000, "since": rfc3339(jump.since), "detail": detail}}


def _readiness(db: Database, log: Log, services: Sequence[Service]) -> Response:
    checks = {"log": log.ready(), "database": db.ping(), **{each.name: each.ready() for each in services}}
    ready = all(checks.values())
    body = {"status": "ready" if ready else "not ready", "checks": checks}
    return json_response(body, 200 if ready else 503, {} if ready else {"Retry-After": "1"})


def _metrics(status: StatusCollector) -> Response:
    """The metrics that this process has counted, and those that its services report."""
    return Response(generate_latest(REGISTRY) + generate_latest(status), media_type=CONTENT_TYPE_LATEST)


def _ends(log: Log) -> list[dict[int, int]]:
    return [log.end_offsets(topic) for topic in (EVENTS, TRIGGERS)]


def _docs(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    page = SingleFlight(lambda: JSONResponse(app.openapi()))
    viewer = SingleFlight(lambda: docs_page(app.title))

    @router.get("/openapi.json", dependencies=[open_route])
    @direct
    async def openapi() -> Response:
        return await page()

    @router.get("/docs", dependencies=[open_route])
    @direct
    async def docs() -> Response:
        return await viewer()

    return router


async def _own(_: Request, error: Exception) -> Response:
    assert isinstance(error, TouchlineError)  # noqa: S101 - how it was registered
    return problem_of(error)


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - how it was registered
    return problem_of(refused(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - how it was registered
    headers = dict(error.headers or {})
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path[:200]}"
        return problem(404, "not_found", "Not found", detail, headers=headers)
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
        detail = f"{request.method[:20]} is not possible here; possible: {headers['Allow']}"
        return problem(405, "method_not_allowed", "Method not allowed", detail, headers=headers)
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "_")
    return problem(error.status_code, code, title, str(error.detail), headers=headers)


def _allowed(request: Request) -> list[str]:
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] != Match.NONE:
            found |= set(getattr(route, "methods", None) or ())
    return sorted(found)
