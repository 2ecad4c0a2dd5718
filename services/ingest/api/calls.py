"""The routes of formats that have their own, such as Segment's `POST /v1/track`."""

from fastapi import APIRouter, Request, Response

from backbone.web.api_keys import Principal, require
from backbone.web.app import any_query
from backbone.web.body_budget import key_in_body
from backbone.web.cors import for_browsers
from backbone.web.raw_route import RawRoute
from services.ingest.api.models import EventsAccepted, body_of, documents
from services.ingest.api.receiver import Receiver
from services.ingest.formats import FORMATS
from services.ingest.formats.base import EventFormat, FormatRoute, Incoming


def calls_router(receiver: Receiver) -> APIRouter:
    """One route for every path of every call of every format."""
    router = APIRouter(route_class=RawRoute)
    for one in FORMATS.values():
        for call in one.calls:
            _add(router, receiver, one, call)
    return router


def _add(router: APIRouter, receiver: Receiver, format_: EventFormat, call: FormatRoute) -> None:
    name = f"{format_.name}_{call.name}"

    async def serve(request: Request, principal: Principal = require(format_.scope)) -> Response:
        sent = Incoming(
            await request.body(),
            dict(request.headers),
            call.name,
            receiver.received(),
            unvouched=not principal.allows("events:write"),
        )
        return await receiver.receive(format_, sent, principal)

    documents(call.model)(serve)
    if format_.any_query:
        any_query(serve)
    if format_.for_browsers:
        for_browsers(serve)
    if format_.key_in is not None:
        key_in_body(format_.key_in)(serve)
    ack = format_.acknowledgement
    for path in call.paths:
        router.post(
            path,
            name=name,
            tags=[format_.name],
            status_code=202 if ack is None else ack.status,
            response_model=EventsAccepted if ack is None else ack.model,
            summary=f"Send a {format_.name.capitalize()} {call.name} call",
            operation_id=name,
            description=format_.about.format(name=call.name, path=call.paths[-1]),
            include_in_schema=path == call.paths[0],
            openapi_extra=body_of(
                {
                    "application/json": {
                        "schema": {"$ref": f"#/components/schemas/{call.model.__name__}"},
                        "examples": {"example": {"value": call.example}},
                    }
                }
            ),
        )(serve)
