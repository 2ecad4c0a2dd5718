"""One address for people and programs: pages go to the console, everything else to the API.

front = open_front(api, secret=…, public_url=…, clock=…)      # an ASGI app around another
"""

import httpx
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from backbone.clock import Clock
from services.console.app import Console
from services.console.pages import ROUTES

API = frozenset({"v1", "docs", "openapi.json", "u", "healthz", "readyz", "metrics"})
PAGES = frozenset({"login", "logout", *(route.path.split("/")[1] for route in ROUTES)})


class Front:
    """`api` answers programs, `console` people: also a browser that asks for what neither has."""

    def __init__(self, api: ASGIApp, console: ASGIApp) -> None:
        self._api, self._console = api, console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        page = scope["type"] == "http" and is_page(scope)
        await (self._console if page else self._api)(scope, receive, send)


def is_page(scope: Scope) -> bool:
    """Whether the console answers this request."""
    path: str = scope["path"]
    first, _, rest = path.lstrip("/").partition("/")
    if first == "static":
        return rest.startswith("console/")
    if first in API:
        return False
    return first in PAGES or "text/html" in Headers(scope=scope).get("accept", "")


def open_front(api: ASGIApp, *, secret: bytes, public_url: str, clock: Clock) -> Front:
    """The console beside this API, and over it. `secret`: see `services.console.session.Sessions`."""
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    return Front(api, Console(transport, secret=secret, public_url=public_url, clock=clock))
