"""Which routes a web page of another origin may call (CORS): those marked `for_browsers`, from configured origins.

Every answer of these routes has the headers, refusals included: a library that cannot see a 429 takes it for a
broken connection. Preflights need no key, since browsers send none with them.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = TypeVar("Handler", bound=Callable[..., Any])
PREFLIGHT_S = 600  # how long a browser may remember an answer


def for_browsers(handler: Handler) -> Handler:
    """Decorator: web pages from the origins in `TOUCHLINE_CORS_ORIGINS` may call this route."""
    handler.for_browsers = True  # type: ignore[attr-defined]
    return handler


def let_browsers_in(app: ASGIApp, routes: Sequence[BaseRoute], origins: Sequence[str]) -> ASGIApp:
    """The app with CORS on its marked routes; without origins, the app itself."""
    marked = [route for route in routes if hasattr(getattr(route, "endpoint", None), "for_browsers")]
    if not origins or not marked:
        return app
    opened = CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],  # any header that a library sends: none has a special meaning here
        expose_headers=["Retry-After"],
        max_age=PREFLIGHT_S,
    )

    async def switch(scope: Scope, receive: Receive, send: Send) -> None:
        concerned = scope["type"] == "http" and any(one.matches(scope)[0] != Match.NONE for one in marked)
        await (opened if concerned else app)(scope, receive, send)

    return switch
