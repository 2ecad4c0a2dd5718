"""One address for the API of the three services, as an ASGI app.

gateway = Gateway({"ingest": "http://ingest:8080", …}, body_s=20)
open_front(gateway, …)            # the console's pages beside it, and over it
"""

from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from backbone.errors import ConfigurationError, NotFound
from backbone.settings import Settings
from backbone.web.app import open_app
from backbone.web.middleware import ProblemMiddleware
from services.console.forwarding.held import MOST_AT_ONCE
from services.console.forwarding.joined import join
from services.console.forwarding.own import own_router
from services.console.forwarding.relay import relay
from services.console.forwarding.table import SERVICES, Destination, Manner, destination
from services.console.forwarding.upstream import SILENT_S, ClientGone, Upstream

_ANY_OF = ("rules", "actions", "ingest")  # the order in which they are tried


class Passed:
    """A route as metrics see it."""

    def __init__(self, path: str) -> None:
        self.path = path


class Gateway:
    """`urls`: the address of each service. `body_s`: how many seconds a request's body may take to arrive; `silent_s`,
    `most`: see `Upstream`. Belongs to the event loop, whose end it is told of (ASGI's lifespan).
    """

    def __init__(
        self, urls: Mapping[str, str], *, body_s: float, silent_s: float = SILENT_S, most: int = MOST_AT_ONCE
    ) -> None:
        self._upstreams = {
            name: Upstream(name, urls[name], body_s=body_s, silent_s=silent_s, most=most) for name in SERVICES
        }
        self._all = [self._upstreams[name] for name in SERVICES]
        self._any = [self._upstreams[name] for name in _ANY_OF]
        self._own = open_app("Touchline console", [own_router(self._all)])
        self._app = ProblemMiddleware(self._serve)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"].startswith(("/v1/", "/u/")):
            await self._api(scope, receive, send)
        else:
            await self._own(scope, receive, send)

    async def _api(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = destination(scope["method"], scope["path"], scope.get("raw_path") or b"")
        if found is None:
            raise NotFound(f"there is nothing at {scope['path'][:200]}")
        scope["route"] = Passed(found.route)
        try:
            await self._pass_on(found, scope, receive, send)
        except ClientGone:
            return

    async def _pass_on(self, found: Destination, scope: Scope, receive: Receive, send: Send) -> None:
        match found.manner:
            case Manner.ONE:
                await relay([self._upstreams[found.service]], scope, receive, send)
            case Manner.ANY:
                await relay(self._any, scope, receive, send, query=_query(found, scope))
            case _:
                await join(found.manner, self._all, scope, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for upstream in self._all:
            await upstream.close()
        await send({"type": "lifespan.shutdown.complete"})


def gateway_of(settings: Settings) -> Gateway:
    """The gateway to the services that the settings name. Raises `ConfigurationError`."""
    urls = {name: getattr(settings, f"{name}_url") for name in SERVICES}
    lacking = [f"TOUCHLINE_{name.upper()}_URL" for name, url in urls.items() if not url]
    if lacking:
        raise ConfigurationError(f"{', '.join(lacking)}: needed, as the console has to find the services")
    if settings.secret_key is None:
        raise ConfigurationError("TOUCHLINE_SECRET_KEY: needed, as the console encrypts its sessions with it")
    return Gateway(urls, body_s=settings.body_timeout)


def _query(found: Destination, scope: Scope) -> bytes:
    """The query. The audit is asked for what was changed in every service, unless the caller says in which."""
    query: bytes = scope["query_string"]
    if found.route != "/v1/audit" or any(part.startswith(b"service=") for part in query.split(b"&")):
        return query
    return query + b"&service=all" if query else b"service=all"
