"""`GET /v1/projects/{key}/settings`, which Segment's libraries request before they send anything."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Request, Response

from backbone.settings import Settings
from backbone.web.api_keys import MAX_KEY, open_route
from backbone.web.app import any_query, json_response
from backbone.web.cors import for_browsers
from services.ingest.api import models


def library_settings_router(settings: Settings) -> APIRouter:
    """The one route."""
    router = APIRouter(tags=["segment"])

    @router.get(
        "/v1/projects/{key}/settings",
        dependencies=[open_route],
        response_model=models.LibrarySettings,
        summary="Get the settings that Segment's browser and phone libraries load",
    )
    @any_query
    @for_browsers
    async def library_settings(
        request: Request,
        key: Annotated[str, Path(min_length=1, max_length=MAX_KEY, description="The write key.")],
    ) -> Response:
        """Tells the library to send its calls to this server. The request needs no API key; whether the key
        in the path is valid shows only when calls arrive.

        The address is the host that the request came to, because the library can reach it. If
        `TOUCHLINE_PUBLIC_URL` has the same host, its scheme and path are used.
        """
        answer = library_settings_of(key, _here(request, settings.public_url))
        return json_response(answer, headers={"Cache-Control": "no-store"})

    return router


def _here(request: Request, public_url: str) -> str:
    """The address at which this server was reached. With services apart, the public address may be another's."""
    host = request.url.netloc
    if urlsplit(public_url).netloc == host:
        return public_url
    return f"{request.url.scheme}://{host}"


def library_settings_of(key: str, here: str) -> dict[str, Any]:
    """What the libraries read: us as the only destination; no plan, no middleware, no measurements for others."""
    scheme, _, host = here.partition("://")
    ours = {
        "apiKey": key,
        "apiHost": f"{host}/v1",
        "protocol": scheme,
        "unbundledIntegrations": [],
        "addBundledMetadata": False,
    }
    allowed = {"__default": {"enabled": True, "integrations": {}}}
    return {
        "integrations": {"Segment.io": ours},
        "plan": {"track": allowed, "identify": allowed, "group": allowed},
        "edgeFunction": {},
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "remotePlugins": [],
        "analyticsNextEnabled": True,
        "legacyVideoPluginsEnabled": False,
    }
