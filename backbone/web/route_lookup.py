"""Finds a request's route before anything of the request is read: which key the route requires, and where it may be.

Starlette finds the route again on the way to the handler; this look-up takes two plain dicts. Open routes may be
marked `direct`: they are served without Starlette, because each request under way costs as much memory as its
frames.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from backbone.web.api_keys import OPEN
from backbone.web.bodies import LargeBody
from backbone.web.body_budget import MAX_OPEN_BODY, KeyOf, SignatureCheck
from backbone.web.openapi import route_scope

Direct = Callable[[], Awaitable[Response]]
Handler = TypeVar("Handler", bound=Callable[..., Any])


def direct(handler: Handler) -> Handler:
    """Decorator: this open route's handler takes nothing from the request and returns a `Response`."""
    handler.direct = True  # type: ignore[attr-defined]
    return handler


class RouteEntry(NamedTuple):
    """A route, and the marks on its endpoint."""

    route: APIRoute
    scope: str
    direct: Direct | None
    key_in_body: KeyOf | None
    large_body: LargeBody | None
    may_be_signed: SignatureCheck | None
    open_body: int  # bytes that a body may have where no key is required

    @property
    def open(self) -> bool:
        """Whether the route requires no key."""
        return self.scope == OPEN


class RouteTable:
    """The routes of an app."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._plain: dict[tuple[str, str], RouteEntry] = {}
        self._shaped: dict[str, list[tuple[re.Pattern[str], RouteEntry]]] = {}
        for route in routes:
            if isinstance(route, APIRoute):
                for method in route.methods or ():
                    self._add(method, route)

    def _add(self, method: str, route: APIRoute) -> None:
        endpoint = route.endpoint
        door = RouteEntry(
            route,
            route_scope(route) or OPEN,
            endpoint if getattr(endpoint, "direct", False) else None,
            getattr(endpoint, "key_in_body", None),
            getattr(endpoint, "large_body", None),
            getattr(endpoint, "may_be_signed", None),
            getattr(endpoint, "open_body", MAX_OPEN_BODY),
        )
        if "{" in route.path:
            self._shaped.setdefault(method, []).append((route.path_regex, door))
        else:
            self._plain.setdefault((method, route.path), door)

    def find(self, scope: Scope) -> RouteEntry | None:
        """The first route with this method and path, as Starlette would find it."""
        method, path = scope["method"], scope["path"]
        door = self._plain.get((method, path))
        if door is not None:
            return door
        return next((each for shape, each in self._shaped.get(method, ()) if shape.match(path)), None)
