"""How pages name their routes.

ROUTES = [show("/tasks", tasks), change("/tasks/{id}/complete", complete)]   # async def tasks(visit: Visit) -> Response
"""

from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.routing import Route

from services.console.visit import Visit

Handler = Callable[[Visit], Awaitable[Response]]


class PageRoute(Route):
    """A route of the console. `handler`: what answers it, for somebody signed in."""

    def __init__(self, path: str, method: str, handler: Handler) -> None:
        super().__init__(path, endpoint=_unused, methods=[method])
        self.handler = handler


def show(path: str, handler: Handler) -> PageRoute:
    """A page."""
    return PageRoute(path, "GET", handler)


def change(path: str, handler: Handler) -> PageRoute:
    """A change: a form that is posted. Its token has been checked when the handler is called."""
    return PageRoute(path, "POST", handler)


async def _unused(_: object) -> Response:
    raise NotImplementedError("Console calls the handler itself")
