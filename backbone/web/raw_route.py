"""A route whose handler gets the request and its caller, and nothing else: for the busiest.

It is registered, found, documented and guarded as any route of FastAPI. But FastAPI's own way from a route to its
handler (two layers of middleware, three exit stacks, the solving of dependencies that `RequestMiddleware` has answered
already) takes as long as all the rest of a request, so a `RawRoute` goes without:
docs/decisions/0012-one-way-in-for-events.md.
"""

import inspect
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from backbone.web.api_keys import CALLER, OPEN
from backbone.web.openapi import route_scope
from backbone.web.query_params import check, takes_any

BODY = "touchline.body"  # where `RequestMiddleware` leaves the body in the ASGI scope


class _ReadRequest(Request):
    """A request whose body is here already."""

    async def body(self) -> bytes:
        whole: bytes = self.scope[BODY]
        return whole


class RawRoute(APIRoute):
    """`APIRouter(route_class=RawRoute)`: handlers are `async def f(request, principal=require(scope)) -> Response`.

    They read the body with `await request.body()`, and may raise any `TouchlineError`. Raises `TypeError` for a handler
    of another shape when it is registered.
    """

    def __init__(self, path: str, endpoint: Any, **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        shape = list(inspect.signature(endpoint).parameters)
        if shape != ["request", "principal"] or route_scope(self) in {None, OPEN} or "{" in path:
            raise TypeError(
                f"{path}: a RawRoute's handler is `async def f(request, principal=require(scope))`"
            )
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Behind `RequestMiddleware`, which has looked at the key and read the body."""
        request = _ReadRequest(scope, receive, send)
        if scope["query_string"] and not takes_any(self):
            check(self, request.query_params)
        answer: Response = await self.endpoint(request, scope[CALLER])
        await answer(scope, receive, send)
