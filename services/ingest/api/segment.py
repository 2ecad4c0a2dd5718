"""Segment's tracking API: `POST /v1/track`, `/identify`, `/group`, `/page`, `/screen`, `/alias`, `/batch`.

Each is at its first letter too (`/v1/t`). And what their libraries ask for before they send:
`GET /v1/projects/{key}/settings`.
"""

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Request, Response

from backbone.errors import BadRequest, summary
from backbone.settings import Settings
from backbone.web.api_keys import MAX_KEY, TRACK, Principal, open_route, require
from backbone.web.app import any_query, json_response, reads
from backbone.web.bodies import NotJson
from backbone.web.body_budget import key_in_body
from backbone.web.cors import for_browsers
from services.ingest.acceptor import Acceptor
from services.ingest.api import models
from services.ingest.api.responses import wrong_fields
from services.ingest.identity.placement import IdentityCall
from services.ingest.identity.segment_batch import SegmentBatch
from services.ingest.identity.store import IdentityStore
from services.ingest.sources import segment
from services.ingest.sources.base import Item, NotReadable
from services.ingest.sources.segment_calls import write_key_in

_ABOUT = """For Segment-compatible libraries: set their host to this server, the write key to an API key.

The key is the user of basic auth, a bearer token, or `writeKey` in the body, and has the scope `events:write` or
`track`. With `track` alone nothing is changed that came by another way, and a contact known from such calls only
gets no mail. The same call is at `/v1/{letter}`; the content type does not matter. With the wall clock, where
`sentAt` is more than five minutes off the moment of receipt, as much is taken off the time of every call of the
request. Calls that cannot be taken stand in `rejected`, the others are taken; 400 only where nothing was."""


def segment_router(intake: Acceptor, identities: IdentityStore, settings: Settings) -> APIRouter:
    """A route per call, under its name and its first letter."""
    router = APIRouter(tags=["segment"])
    for kind in (*segment.CALLS, "batch"):
        _add(router, intake, identities, kind)
    _add_settings(router, settings)
    return router


def _add(router: APIRouter, intake: Acceptor, identities: IdentityStore, kind: str) -> None:

    @router.post(f"/v1/{kind[0]}", name=f"segment_{kind[0]}", include_in_schema=False)
    @router.post(
        f"/v1/{kind}",
        name=f"segment_{kind}",
        summary=f"Segment: {kind}",
        operation_id=f"segment_{kind}",
        description=_ABOUT.format(letter=kind[0]),
    )
    @any_query  # as its libraries please
    @reads(models.SEGMENT_MODELS[kind], models.SEGMENT_EXAMPLES[kind])
    @for_browsers
    @key_in_body(write_key_in)
    async def call(request: Request, principal: Principal = require(TRACK)) -> Response:
        return await _take(await request.body(), kind, intake, identities, principal)


async def _take(
    body: bytes, kind: str, intake: Acceptor, identities: IdentityStore, principal: Principal
) -> Response:
    """Segment answers 200 to whatever it could read; only a request with nothing good in it is an error here."""
    try:
        calls = segment.read(body, kind, intake.received())
    except NotReadable as error:
        raise NotJson(str(error)) from None
    said = [segment.said_of(call, unvouched=not principal.allows("events:write")) for call in calls]
    placing = SegmentBatch(said, identities)
    items: list[Item | None] = [one.event if isinstance(one, IdentityCall) else one for one in said]
    taken = await intake.take(
        items, source="segment", key_id=principal.key_id, erasing=False, place=placing.place
    )
    await placing.told()
    if not taken.rejected:
        return json_response({"success": True})
    made = [one if isinstance(one, IdentityCall) else None for one in said]
    rejected = [(index, segment.in_their_words(refusal, made[index])) for index, refusal in taken.rejected]
    errors = wrong_fields(rejected, alone=kind != "batch")
    if len(taken.rejected) == len(items):
        raise BadRequest(summary(errors), code="nothing_accepted")
    return json_response({"success": True, "rejected": errors})


def _add_settings(router: APIRouter, settings: Settings) -> None:

    @router.get(
        "/v1/projects/{key}/settings",
        dependencies=[open_route],
        response_model=models.LibrarySettings,
        summary="What Segment's libraries in browsers and phones ask for",
    )
    @any_query
    @for_browsers
    async def library_settings(
        request: Request,
        key: Annotated[str, Path(min_length=1, max_length=MAX_KEY, description="the write key")],
    ) -> Response:
        """Where to send calls: here. Asked for without a key; whether the one in the address is good, the calls show.

        "Here" is the host that the request came to: whoever asks got as far as that. `TOUCHLINE_PUBLIC_URL` adds its
        scheme and path where it has the same host.
        """
        answer = library_settings_of(key, _here(request, settings.public_url))
        return json_response(answer, headers={"Cache-Control": "no-store"})


def _here(request: Request, public_url: str) -> str:
    """Where this server answers whoever asked. With services apart, the public address may be that of another."""
    host = request.url.netloc
    if urlsplit(public_url).netloc == host:
        return public_url
    forwarded = request.headers.get("x-forwarded-proto", "")
    return f"{forwarded if forwarded in {'http', 'https'} else request.url.scheme}://{host}"


def library_settings_of(key: str, here: str) -> dict[str, Any]:
    """What the libraries read: one destination, us; no plan, no middleware, no measurements for anybody else."""
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
