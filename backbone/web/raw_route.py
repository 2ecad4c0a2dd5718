"""A route whose handler gets only the request and its caller, for the busiest routes.

It is registered, found, documented and guarded like any FastAPI route. But FastAPI's own way from a route to its
handler (two layers of middleware, three exit stacks, and solving dependencies that `RequestMiddleware` has already
answered) takes as long as the rest of a request, so a `RawRoute` does without it:
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
    """A request whose body has already been read."""

    async def body(self) -> bytes:
        whole: bytes = self.scope[BODY]
        return whole


class RawRoute(APIRoute):
    """`APIRouter(route_class=RawRoute)`: handlers are `async def f(request, principal=require(scope)) -> Response`.

    On an open route they are `async def f(request, …) -> Response`, with the parts of the path as text. They read the
    body with `await request.body()`, and may raise any `TouchlineError`. Registering a handler of another shape raises
    `TypeError`.
    """

    def __init__(self, path: str, endpoint: Any, **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        shape = list(inspect.signature(endpoint).parameters)
        scope = route_scope(self)
        self._open = scope == OPEN
        wanted = ["request", *self.param_convertors] if self._open else ["request", "principal"]
        if shape != wanted or scope is None or ("{" in path and not self._open):
            raise TypeError(
                f"{path}: a RawRoute's handler is `async def f(request, principal=require(scope))`, or on an open "
                "route `async def f(request, …)` with the parts of the path"
            )
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request after `RequestMiddleware` has checked the key and read the body."""
        request = _ReadRequest(scope, receive, send)
        if scope["query_string"] and not takes_any(self):
            check(self, request.query_params)
        if self._open:
            found = self.path_regex.match(scope["path"])
            answer: Response = await self.endpoint(request, **(found.groupdict() if found else {}))
        else:
            answer = await self.endpoint(request, scope[CALLER])
        await answer(scope, receive, send)
