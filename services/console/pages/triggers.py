"""`/triggers`: when rules fired, for whom and why."""

from starlette.responses import Response

from services.console.lists import is_narrowed, listed
from services.console.routing import show
from services.console.visit import Visit

FILTERS = ("rule", "account", "tier", "key", "after", "before")


async def triggers(visit: Visit) -> Response:
    """The list."""
    found = await listed(visit, "/v1/triggers", FILTERS)
    return await visit.page(
        "triggers.html",
        triggers=found["items"],
        next_cursor=found["next_cursor"],
        narrowed=is_narrowed(visit, FILTERS),
    )


async def trigger(visit: Visit) -> Response:
    """One of them, with the events that count."""
    found = await visit.api.get("/v1/triggers/{}", visit.part("id"))
    return await visit.page("trigger.html", trigger=found)


ROUTES = [show("/triggers", triggers), show("/triggers/{id}", trigger)]
