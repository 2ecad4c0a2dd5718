"""`/v1/suppressions`: which addresses get no mail, and about which topics."""

from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from pydantic import Field, field_validator
from sqlalchemy import Connection, Row, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import NotFound
from backbone.web.api_keys import Principal, require
from backbone.web.app import Once, Pages, etag, json_response, page
from backbone.web.audit import Trail
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from schemas.addresses import normal, valid_address
from schemas.answers import page_of
from schemas.fields import Strict
from schemas.play import SuppressionOut
from schemas.sentences import states
from services.actions.api.views import moment
from services.actions.storage import suppressions
from services.actions.storage.suppressions import ALL_TOPICS, Hasher
from services.actions.tables import suppressions as table

NOUN = "suppression"  # in the audit, by the hash of its address
EXAMPLE = {"address": "ann@acme.test", "topic": "billing", "reason": "asked by phone"}
MOST_ADDRESSES = 200
Addresses = Annotated[
    list[Annotated[str, Field(max_length=320)]] | None,
    Query(
        max_length=MOST_ADDRESSES,
        description="Only suppressions of this address. Given several times: of any of these addresses.",
    ),
]


class SuppressionIn(Strict):
    """A request to send no more mail to an address."""

    read_only: ClassVar[frozenset[str]] = frozenset({"hash", "origin", "created_at", "sentence"})

    address: str = Field(
        max_length=320, description="The email address to suppress.", examples=["ann@acme.test"]
    )
    topic: str | None = Field(
        None, min_length=1, max_length=256, description="The topic for which no mail is sent. Default: all topics.",
        examples=["billing"],
    )  # fmt: skip
    reason: str = Field(
        "by_hand",
        min_length=1,
        max_length=64,
        description="The reason, for people.",
        examples=["asked by phone"],
    )

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        bare = value.strip()
        if "*" in bare:
            raise ValueError(
                "should be one address: there are no wildcards, each address is suppressed by itself"
            )
        return valid_address(bare)


SuppressionBody = Annotated[SuppressionIn, AS_SHOWN, example(EXAMPLE)]


def router(db: Database, clock: Clock, hasher: Hasher) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["suppressions"], route_class=JsonRoute)
    _changing(routes, db, clock, hasher)

    @routes.get(
        "/v1/suppressions", response_model=page_of(SuppressionOut), summary="List suppressions, newest first"
    )
    def listed(
        pages: Pages, address: Addresses = None, topic: Annotated[str | None, Query(max_length=256)] = None,
        _: Principal = require("actions:read"),
    ) -> Response:  # fmt: skip
        query = select(table)
        if address is not None:
            query = query.where(table.c.address.in_([hasher.digest(each) for each in address]))
        if topic is not None:
            query = query.where(table.c.topic == topic)
        with db.read() as connection:
            return json_response(page(connection, query, [table.c.seq], pages, view))

    return routes


def _changing(routes: APIRouter, db: Database, clock: Clock, hasher: Hasher) -> None:
    again: dict[int | str, dict[str, Any]] = {
        200: {"model": SuppressionOut, "description": "The address was already suppressed."}
    }

    @routes.post(
        "/v1/suppressions",
        status_code=201,
        response_model=SuppressionOut,
        responses=again,
        summary="Suppress mail to an address",
    )
    def create(
        model: SuppressionBody, once: Once, trail: Trail, _: Principal = require("actions:write")
    ) -> Response:
        digest, topic = hasher.digest(model.address), model.topic or ALL_TOPICS

        def act(connection: Connection) -> Response:
            def make() -> Response:
                shown = normal(model.address)
                new = suppressions.add(connection, digest, topic, shown, model.reason, clock.now())
                mine = (table.c.address == digest) & (table.c.topic == topic)
                row = connection.execute(select(table).where(mine)).one()
                if new:
                    trail.note(connection, NOUN, digest, after={"topic": model.topic})
                headers = {"ETag": etag(row.seq), "Location": f"/v1/suppressions/{quote(shown, safe='')}"}
                return json_response(view(row), 201 if new else 200, headers)

            return once.run(connection, make)

        return suppressions.once_quiet(db, hasher, digest, clock, act)

    @routes.delete(
        "/v1/suppressions/{address:path}",
        status_code=204,
        summary="Remove a suppression, so that mail may be sent again",
    )
    def delete(
        address: str, trail: Trail,
        topic: Annotated[str | None, Query(max_length=256, description="Only the suppression for this topic.")] = None,
        _: Principal = require("actions:write"),
    ) -> Response:  # fmt: skip
        with db.write() as connection:
            digest = hasher.digest(address)
            if not suppressions.remove(connection, digest, topic):
                raise NotFound("this address is not suppressed")
            trail.note(connection, NOUN, digest, before={"topic": topic})
        return Response(status_code=204)


def view(row: Row[Any]) -> dict[str, Any]:
    """A suppression. Once the address has been erased it is null, and its hash stays in force."""
    return {
        "address": row.shown,
        "hash": row.address,
        "topic": row.topic or None,
        "reason": row.reason,
        "origin": row.origin,
        "created_at": moment(row.created_at),
        "sentence": states.suppression(row.shown, row.topic or None, row.reason, row.created_at),
    }
