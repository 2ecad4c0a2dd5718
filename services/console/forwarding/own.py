"""What the console answers itself beside its pages: whether it works, its metrics, and the page of the whole API."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Scope

from backbone.errors import BadGateway, TouchlineError
from backbone.single_flight import SharedCall, SingleFlight
from backbone.telemetry import REGISTRY
from backbone.web.api_keys import open_route
from backbone.web.docs_page import docs_page
from backbone.web.query_params import any_query
from backbone.web.responses import json_response
from services.console.forwarding.openapi import TITLE, Contradiction, merged
from services.console.forwarding.relay import read_whole
from services.console.forwarding.upstream import Upstream, together

KEEP_S = 60.0  # how long a page that the services gave is used
THERE_S = 1.0  # how long a service may take to say that it is there
READY_S, METRICS_S = 0.5, 1.0  # for which all callers get the same answer
_SCOPE: Scope = {
    "type": "http",
    "method": "GET",
    "scheme": "http",
    "query_string": b"",
    "headers": [],
    "client": None,
}


def scope_of(path: str) -> Scope:
    """A request of the console's own."""
    return {**_SCOPE, "path": path, "raw_path": path.encode()}


class Pages:
    """The services' OpenAPI pages. One that was read once is used while its service is away."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self._upstreams = upstreams
        self._read: dict[str, Mapping[str, Any]] = {}

    async def merged(self) -> Response:
        """The page of all. Raises `BadGateway` if a service's was never read, or if they contradict each other."""
        await together(*(self._renew(upstream) for upstream in self._upstreams))
        try:
            return json_response(merged([self._read[upstream.name] for upstream in self._upstreams]))
        except (Contradiction, LookupError, TypeError):
            raise BadGateway("the services' pages do not fit together: are they of one release?") from None

    async def _renew(self, upstream: Upstream) -> None:
        try:
            self._read[upstream.name] = await _page_of(upstream)
        except TouchlineError:
            if upstream.name not in self._read:
                raise


async def _page_of(upstream: Upstream) -> Mapping[str, Any]:
    answer = await read_whole(upstream, scope_of("/openapi.json"))
    try:
        if answer.fine:
            page: Mapping[str, Any] = msgspec.json.decode(answer.body)
            return page
    except msgspec.DecodeError:
        pass
    raise BadGateway(f"the {upstream.name} service did not give its page")


async def readiness(upstreams: Sequence[Upstream]) -> Response:
    """Ready as soon as one service answers: one that is away takes its own paths along, and no others."""
    checks = dict(
        zip((one.name for one in upstreams), await asyncio.gather(*map(_is_there, upstreams)), strict=True)
    )
    ready = any(checks.values())
    body = {"status": "ready" if ready else "not ready", "checks": checks}
    return json_response(body, 200 if ready else 503, {} if ready else {"Retry-After": "1"})


async def _is_there(upstream: Upstream) -> bool:
    try:
        return (await read_whole(upstream, scope_of("/healthz"), within_s=THERE_S)).fine
    except TouchlineError:
        return False


def own_router(upstreams: Sequence[Upstream]) -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    pages = SharedCall(Pages(upstreams).merged, keep_s=KEEP_S)
    ready = SharedCall(partial(readiness, upstreams), keep_s=READY_S)
    figures = SingleFlight(
        lambda: Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST), keep_s=METRICS_S
    )
    viewer = docs_page(TITLE)
    alive = json_response({"status": "ok"})

    async def give(answer: Response) -> Response:
        return answer

    for path, make in (
        ("/healthz", partial(give, alive)),
        ("/readyz", ready),
        ("/metrics", figures),
        ("/openapi.json", pages),
        ("/docs", partial(give, viewer)),
    ):
        _add(router, path, make)
    return router


def _add(router: APIRouter, path: str, make: Callable[[], Awaitable[Response]]) -> None:
    async def answer() -> Response:
        return await make()

    takes_any = path not in {"/openapi.json", "/docs"}
    router.add_api_route(
        path,
        any_query(answer) if takes_any else answer,
        methods=["GET"],
        dependencies=[open_route],
        response_model=None,
    )
