"""`/v1/hooks/{source}`: where other systems send their webhooks. The source's `verify` decides, not an API key."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from backbone.web.api_keys import open_route
from backbone.web.app import any_query, json_response
from backbone.web.bodies import MAX_BODY
from backbone.web.body_budget import open_body
from backbone.web.raw_route import RawRoute
from services.ingest.api import models
from services.ingest.hooks import HookReceiver
from services.ingest.sources.verify import HookRequest

PATH = "/v1/hooks/{source}"
SourceName = Annotated[
    str, Path(min_length=1, max_length=128, description="The name of the source.", examples=["stripe"])
]
# Forms and XML are read too. The page names JSON alone: makers of clients do not know what to do with the others.
_BODY: dict[str, Any] = {"application/json": models.shown({}, {"id": "evt_1", "type": "invoice.paid"})}


def hooks_routers(receiver: HookReceiver, public_url: str) -> list[APIRouter]:
    """The one address, for each source."""
    router = APIRouter(tags=["sources"])
    raw = APIRouter(tags=["sources"], route_class=RawRoute)

    @raw.post(
        PATH,
        dependencies=[open_route],
        response_model=models.HookAccepted,
        summary="Send a webhook of another system",
        openapi_extra=models.body_of(_BODY),
    )
    @any_query
    @open_body(MAX_BODY)
    async def hook(request: Request, source: SourceName) -> Response:
        """The source's `verify` decides whether the request is taken; no API key is asked for. The body is JSON, a form
        (`application/x-www-form-urlencoded`) or XML. Counts what became
        of the elements: `accepted`, `ignored` (no `when` holds), `unmatched` (nobody knows the account yet, so that
        it is parked) and `rejected`. All that is accepted or parked is durable before the answer.

        A source may have another answer (`answer`, `challenge`).
        """
        scope = request.scope
        path = (scope.get("raw_path") or b"").decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        url = f"{public_url}{path}?{query}" if query else f"{public_url}{path}"
        sent = HookRequest(await request.body(), dict(request.headers), query, url)
        return await receiver.receive(source, sent)

    async def there(source: SourceName) -> Response:
        """Some systems try the address before they send to it."""
        await receiver.known(source)
        return json_response({"source": source})

    summary = "Find out whether a source is there"
    for method, shown in (("GET", True), ("HEAD", False)):
        router.add_api_route(
            PATH,
            any_query(there),
            methods=[method],
            dependencies=[open_route],
            summary=summary,
            include_in_schema=shown,
            response_model=models.HookThere,
        )
    return [raw, router]
