"""`/v1/unmatched`: events of sources whose account nobody knows."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Response
from pydantic import Field
from sqlalchemy import Row

from backbone.database import Database
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.audit import Trail
from backbone.web.json_route import JsonRoute, example
from backbone.web.pagination import After, Pages, Text, between, newest, page
from schemas.answers import Answer, Time, page_of
from schemas.event import rfc3339
from schemas.fields import Strict
from services.ingest.identity.unmatched import Unmatched, decode_whose, listing
from services.ingest.identity.whose import Whose
from services.ingest.tables import unmatched

Id = Annotated[str, Path(min_length=1, max_length=64, description="The id of the unmatched event.")]


class TriedOut(Answer):
    """A way by which the account was looked for."""

    way: Literal["id", "external_id", "email", "domain"]
    value: str = Field(examples=["cus_9"])
    system: str | None = Field(
        None, description="The system whose id it is. Left out if it is the source.", examples=["stripe"]
    )


class UnmatchedOut(Answer):
    """An event whose account nobody knows."""

    id: str = Field(examples=["unm_0199f"])
    source: str = Field(description="The name of the source.", examples=["stripe"])
    event: dict[str, Any] = Field(description="The event, without an account.")
    tried: list[TriedOut] = Field(description="The ways by which the account was looked for, in their order.")
    received_at: Time


class AssignmentIn(Strict):
    """Whose an unmatched event is."""

    account: str = Field(
        strict=True, min_length=1, max_length=256, description="The id of the account.", examples=["acme"]
    )
    learn: bool = Field(
        False,
        strict=True,
        description="Whether events like this one go to the account by themselves from now on: the first external id, "
        "address or domain that was tried is added to the account.",
    )


class AssignedOut(Answer):
    """The event has been stored durably for the account."""

    id: str
    account: str


def unmatched_router(db: Database, parked: Unmatched) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["unmatched"], route_class=JsonRoute)

    @router.get(
        "/v1/unmatched", response_model=page_of(UnmatchedOut), summary="List unmatched events, newest first"
    )
    def listed(
        pages: Pages, source: Text = None, after: After = None, _: Principal = require("rules:read")
    ) -> Response:
        """Lists the events of sources whose account nobody knows, or that fit several accounts by an address or a
        domain. An event leaves the list by itself when its account is found, at its own time, and after 7 days
        otherwise. At most 100,000 are kept; the oldest leave first.
        """
        query = between(
            listing(source).where(unmatched.c.going.is_(None)), unmatched.c.received_at, after, None
        )
        order = newest(unmatched.c.seq, unmatched.c.received_at, after, None)
        with db.read() as connection:
            return json_response(page(connection, query, order, pages, _shown))

    @router.post("/v1/unmatched/{id}/assign", response_model=AssignedOut, summary="Assign an unmatched event")
    def assign(
        id: Id,
        body: Annotated[AssignmentIn, example({"account": "acme", "learn": True})],
        trail: Trail,
        _: Principal = require("rules:write"),
    ) -> Response:
        """Stores the event for the account, at the event's own time. An account that is not known yet is made by it.

        With `learn`, other unmatched events with the same external id, address or domain follow by themselves.
        """
        parked.assign(id, body.account, learn=body.learn, trail=trail)
        return json_response({"id": id, "account": body.account})

    @router.delete("/v1/unmatched/{id}", status_code=204, summary="Delete an unmatched event")
    def delete(id: Id, trail: Trail, _: Principal = require("rules:write")) -> Response:
        """Deletes the event for good, unless it is on its way to its account already."""
        parked.discard(id, trail)
        return Response(status_code=204)

    return router


def _shown(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "source": row.source,
        "event": msgspec.json.decode(row.event),
        "tried": tried(decode_whose(row.whose), row.source),
        "received_at": rfc3339(row.received_at),
    }


def tried(whose: Whose, source: str) -> list[dict[str, Any]]:
    """The ways as the API shows them."""
    shown: list[dict[str, Any]] = []
    for one in whose.ways:
        way = {"way": one.way, "value": one.value}
        shown.append(way if one.system in (None, source) else {**way, "system": one.system})
    return shown
