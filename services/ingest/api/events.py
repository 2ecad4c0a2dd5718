"""`POST /v1/events`, `PUT /v1/accounts/{id}`, `POST /v1/clock` (contract, section 3)."""

from typing import Annotated, Any

import msgspec
import uuid_utils
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from backbone.errors import Invalid, StateConflict, UnsupportedMedia
from backbone.log import Entry
from backbone.settings import Settings
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from backbone.web.raw_route import RawRoute
from schemas.account import ACCOUNT_EXAMPLE, AccountIn, writable_tier
from schemas.event import CLOCK, Event, encode
from schemas.timestamps import Moment
from services.ingest.acceptor import ACCOUNT, HEADERS, Acceptor
from services.ingest.api import models
from services.ingest.api.receiver import Receiver
from services.ingest.api.responses import ids_from
from services.ingest.event_warnings import EventWarnings
from services.ingest.formats import FORMATS, WANTED, chosen
from services.ingest.formats.base import Incoming

AccountId = Annotated[
    str, Path(min_length=1, max_length=256, description="The id of the account.", examples=["acme"])
]

# GET shows a closed account as it was. An update of it counts for the other account, where these values, and
# above all their nulls, would replace that account's own.
_CLOSED = (
    "the account was merged, and the body is what GET shows of it: nothing was changed. Write to the account that "
    "goes on, or leave merged_into out"
)


def events_router(receiver: Receiver) -> APIRouter:
    """`POST /v1/events`."""
    router = APIRouter(tags=["events"], route_class=RawRoute)

    @router.post(
        "/v1/events",
        status_code=202,
        summary="Send events",
        response_model=models.EventsAccepted,
        openapi_extra=models.body_of(
            {kind: said for one in FORMATS.values() for kind, said in one.content_types.items() if said}
        ),
    )
    @models.documents(*(model for one in FORMATS.values() for model in one.models))
    async def events(request: Request, principal: Principal = require("events:write")) -> Response:
        """Takes one event, an array, or `{"events": […]}`; also CloudEvents in structured, batched or binary
        mode. Bodies may be compressed with gzip. Answers 202 once the accepted events are stored durably.

        Events without an id get one. With an `Idempotency-Key`, the id is derived from the key and the body:
        a repeated request names the same events, and a different body under the same key gets ids of its own.

        `warnings` lists what was accepted but is probably a mistake: a value that a rule, a playbook or the
        tier policy reads as a number or a date but that is neither; a field of an update that nothing reads;
        with the wall clock, a time that is more than 7 days before receipt, or that was set back because it
        lay in the future.

        Some event types have a meaning of their own. `account.updated` and `contact.updated` are merged into
        what is known. With the scope `admin`, `account.deleted` and `contact.deleted` erase data, and
        `account.merged` (`data`: `{"into": …}`) closes an account: the other account gets its contacts and
        counts its later events. An account cannot be merged into itself, not even through other accounts, nor
        into one that was erased. Types that start with `touchline.` come only from Touchline.
        """
        headers, body = dict(request.headers), await request.body()
        format_ = chosen(headers)
        if format_ is None:
            raise UnsupportedMedia(WANTED)
        repeat = headers.get("idempotency-key")
        return await receiver.receive(
            format_,
            Incoming(body, headers, received=receiver.received()),
            principal,
            new_id=ids_from(repeat, principal.key_id, body) if repeat else None,
        )

    return router


def accounts_router(intake: Acceptor, doubts: EventWarnings) -> APIRouter:
    """`PUT /v1/accounts/{id}`, which makes an `account.updated` event."""
    router = APIRouter(tags=["accounts"], route_class=JsonRoute)

    @router.put(
        "/v1/accounts/{id:path}",
        status_code=202,
        response_model=models.AccountAccepted,
        summary="Create or update an account",
    )
    async def put_account(
        id: AccountId,
        body: Annotated[AccountIn, AS_SHOWN, example(ACCOUNT_EXAMPLE)],
        closed: Annotated[bool, Depends(_is_of_merged_account)],
        historical: Annotated[bool, Query(description="Marks an import: it fires no rules.")] = False,
        time: Annotated[
            Moment | None,
            Query(
                description="When the change took effect. Default: the time of receipt. With the log clock, it moves "
                "the clock, as the time of any event does.",
                examples=["2026-11-22T09:00:00Z"],
            ),
        ] = None,
        principal: Principal = require("events:write"),
    ) -> Response:
        """Attributes are merged one by one, and contacts by `id`; `null` deletes. The update is stored as an
        `account.updated` event.

        You may send back what GET shows. Fields that only GET has are ignored, and so is a tier that the tier
        policy gave (see `tier_reason`), unless you changed it. If the account was merged (`merged_into`),
        sending it back changes nothing in the other account, and a warning says so.
        """
        data = {} if closed else body.model_dump(exclude_unset=True)
        event = Event(
            type="account.updated",
            account=id,
            id=str(uuid_utils.uuid7()),
            data=data,
            historical=historical,
            time=time,
        )
        taken = await intake.take([event], source=ACCOUNT, key_id=principal.key_id, erasing=False)
        if taken.rejected:
            refusal = taken.rejected[0][1]
            raise Invalid([{"field": refusal.field.removeprefix("data."), "message": refusal.message}])
        answer: dict[str, Any] = {"accepted": 1, "id": event.id}
        warnings = [
            {**one, "field": one["field"].removeprefix("data.")} for one in await doubts.about([event], taken)
        ]
        if closed:
            warnings.append({"index": 0, "field": "merged_into", "message": _CLOSED})
        if warnings:
            answer["warnings"] = warnings
        return json_response(answer, 202)

    return router


async def _is_of_merged_account(request: Request, id: AccountId) -> bool:
    """Whether the body is what GET shows of a merged account. A tier that GET resolved is removed from the body.

    Raises `Invalid` if GET showed another account.
    """
    body = await request.json()
    if not isinstance(body, dict):
        return False
    if body.get("id", id) != id:
        raise Invalid([{"field": "id", "message": f"should be {id!r} as in the address, or left out"}])
    if "tier" not in writable_tier(body):
        body.pop("tier", None)
    return body.get("merged_into") is not None


def clock_router(intake: Acceptor, settings: Settings, partitions: int) -> APIRouter:
    """`POST /v1/clock`, which moves every partition's clock forward to a time."""
    router = APIRouter(tags=["events"], route_class=JsonRoute)

    @router.post(
        "/v1/clock",
        status_code=202,
        response_model=models.ClockCarried,
        summary="Move the log clock forward to a time",
    )
    async def clock(
        body: Annotated[models.ClockIn, example({"time": "2026-12-01T00:00:00Z"})],
        _: Principal = require("admin"),
    ) -> Response:
        """Works only with `TOUCHLINE_CLOCK=log`; answers 409 with the wall clock. Everything that falls due
        by the new time is run.
        """
        time = body.time
        if settings.clock != "log":
            raise StateConflict("the wall clock cannot be set: this works only with TOUCHLINE_CLOCK=log")
        event = Event(type=CLOCK, id=str(uuid_utils.uuid7()), source="touchline", time=time)
        value = encode(event)
        await intake.append([Entry(value, None, number, HEADERS) for number in range(partitions)])
        return json_response({"time": msgspec.to_builtins(time)}, 202)

    return router
