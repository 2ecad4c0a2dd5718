"""Segment's tracking API: `POST /v1/track`, `/identify`, `/group`, `/page`, `/screen`, `/alias`, `/batch`."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from backbone.auth import Principal, require
from backbone.bodies import NotJson
from backbone.errors import BadRequest, summary
from backbone.http import any_query, json_response, reads
from services.ingest import pages
from services.ingest.answers import wrong_fields
from services.ingest.groups import Groups
from services.ingest.intake import Intake
from services.ingest.sources import segment
from services.ingest.sources.base import NotReadable


def segment_router(intake: Intake, groups: Groups) -> APIRouter:
    """A route per call. The write key, as user of basic auth, is an API key with `events:write`."""
    router = APIRouter(tags=["segment"])
    for kind in (*segment.CALLS, "batch"):
        _add(router, intake, groups, kind)
    return router


def _add(router: APIRouter, intake: Intake, groups: Groups, kind: str) -> None:

    @router.post(
        f"/v1/{kind}", name=f"segment_{kind}", summary=f"Segment: {kind}", operation_id=f"segment_{kind}"
    )
    @any_query  # as its libraries please
    @reads(pages.SEGMENT_MODELS[kind], pages.SEGMENT_EXAMPLES[kind])
    async def call(request: Request, principal: Principal = require("events:write")) -> Response:
        """For Segment-compatible libraries: set their host to this server, the write key to an API key."""
        return await _take(await request.body(), kind, intake, groups, principal)


async def _take(body: bytes, kind: str, intake: Intake, groups: Groups, principal: Principal) -> Response:
    """Segment answers 200 to whatever it could read; only a request with nothing good in it is an error here."""
    try:
        calls = segment.read(body, kind, intake.received())
    except NotReadable as error:
        raise NotJson(str(error)) from None
    users = segment.users_of(calls)
    known = await run_in_threadpool(groups.find, users) if users else {}
    items, named = segment.events_of(calls, known)
    if named:
        await run_in_threadpool(groups.store, named)
    taken = await intake.take(items, source="segment", key_id=principal.key_id, erasing=False)
    if not taken.rejected:
        return json_response({"success": True})
    rejected = [(index, segment.in_their_words(refusal)) for index, refusal in taken.rejected]
    errors = wrong_fields(rejected, alone=kind != "batch")
    if len(taken.rejected) == len(items):
        raise BadRequest(summary(errors), code="nothing_accepted")
    return json_response({"success": True, "rejected": errors})
