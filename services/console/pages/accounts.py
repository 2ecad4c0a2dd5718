"""`/accounts`: who the customers are, and how one finds one of them."""

from starlette.responses import Response

from services.console.routing import show
from services.console.visit import Visit

LIMIT = 50
FILTERS = ("q", "tier", "owner")


async def accounts(visit: Visit) -> Response:
    """The list."""
    filters = {name: text for name in FILTERS if (text := visit.query.get(name, "").strip())}
    found = await visit.api.get("/v1/accounts", **filters, limit=LIMIT, cursor=visit.query.get("cursor"))
    return await visit.page(
        "accounts.html", items=found["items"], next_cursor=found["next_cursor"], filters=filters
    )


ROUTES = [show("/accounts", accounts)]
