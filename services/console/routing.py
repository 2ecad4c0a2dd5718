"""How pages name their routes.

ROUTES = [show("/tasks", tasks), change("/tasks/{id}/complete", complete)]   # async def tasks(visit: Visit) -> Response

A page that is of no use without a scope names it: show("/tasks/new", new, "actions:write").
"""

from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from services.console.visit import Visit

Handler = Callable[[Visit], Awaitable[Response]]


class PageRoute(Route):
    """A route of the console. `handler`: what answers it, for somebody signed in whose key has the scope `needs`."""

    def __init__(self, path: str, method: str, handler: Handler, needs: str | None = None) -> None:
        super().__init__(path, endpoint=_unused, methods=[method])
        self.handler, self.needs = handler, needs

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As `Route` has it; a number of thousands of digits in the path is none."""
        try:
            return super().matches(scope)
        except ValueError:
            return Match.NONE, {}


def show(path: str, handler: Handler, needs: str | None = None) -> PageRoute:
    """A page. `needs`: the scope without which it is of no use; its calls ask for theirs besides."""
    return PageRoute(path, "GET", handler, needs)


def change(path: str, handler: Handler) -> PageRoute:
    """A change: a form that is posted. Its token has been checked when the handler is called."""
    return PageRoute(path, "POST", handler)


async def _unused(_: object) -> Response:
    raise NotImplementedError("Console calls the handler itself")
