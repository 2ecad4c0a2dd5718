"""`GET /v1/accounts/{id}/record`: everything kept about an account, or one person there, as one JSON object.

Each service supplies its own parts. They are read and written piece by piece, so that the memory for an answer does
not grow with the account.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Column, Connection, Row, Select, tuple_
from starlette.routing import Match
from starlette.types import Scope

from backbone.clock import Clock
from backbone.database import Database
from backbone.web.api_keys import Principal, require
from backbone.web.path_params import path_ends
from schemas.event import rfc3339

AT_ONCE = 200  # rows per query
PIECE = 64 << 10  # bytes written at a time

Parts = Iterator[
    tuple[str, Any]
]  # a name and what belongs to it: JSON, or an iterator of the items of a list
View = Callable[[Connection, Row[Any]], Any]

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Keeps(Protocol):
    """A service that can give the record of an account."""

    name: str

    def record(self, account: str, contact: str | None) -> Parts:
        """Everything about an account or, with a contact, about that person."""
        ...


class RecordOut(BaseModel):
    """Everything stored about an account or a contact, by service. A part is a list of rows, or one object
    (null if there is none).
    """

    model_config = ConfigDict(extra="forbid")

    account: str
    contact: str | None = Field(
        description="The contact that the record is about. Null for the whole account."
    )
    made_at: str = Field(description="A time in RFC 3339, UTC.", examples=["2026-11-22T09:00:00Z"])
    services: dict[str, dict[str, Any]] = Field(
        description="`ingest`: Segment's users and calls, by what the account is found, and unmatched events that "
        "asked for it · `rules`: the account, what its rules remember, triggers, "
        "and the records of the three topics of the log · `actions`: the account, plays, their history, actions with "
        "what was rendered and every attempt, tasks, suppressions."
    )


class _Apart(APIRoute):
    """Matches only where `/record` is not part of the account's name, which may end so."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found, child = super().matches(scope)
        return (found, child) if path_ends(scope, "record") else (Match.NONE, {})


def record_router(services: Sequence[Keeps], clock: Clock) -> APIRouter:
    """The route. Every app answers with the services that it runs."""
    router = APIRouter(tags=["accounts"], route_class=_Apart)

    @router.get(
        "/v1/accounts/{id:path}/record",
        summary="Export everything stored about an account or a contact",
        response_class=StreamingResponse,
        responses={200: {"model": RecordOut}},
    )
    def record(
        id: Annotated[str, Path(min_length=1, max_length=256)],
        contact: Annotated[
            str | None, Query(min_length=1, max_length=256, description="Only data about this contact.")
        ] = None,
        _: Principal = require("admin"),
    ) -> StreamingResponse:
        """Each service exports its own data; a server that runs all services exports everything. The events
        in the log are included for as long as the log keeps them, even those of an account that was
        erased. For an unknown account the lists are empty. The answer is streamed while it is read: if the
        connection breaks off, the export is incomplete.
        """
        body = _pieces(services, id, contact, rfc3339(clock.now()))
        return StreamingResponse(body, media_type="application/json")

    return router


def _pieces(services: Sequence[Keeps], account: str, contact: str | None, now: str) -> Iterator[bytes]:
    """The answer in pieces of a bounded size."""
    held = bytearray()
    for token in _tokens(services, account, contact, now):
        held += token
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _tokens(services: Sequence[Keeps], account: str, contact: str | None, now: str) -> Iterator[bytes]:
    head = {"account": account, "contact": contact, "made_at": now}
    yield _encode(head)[:-1] + b',"services":{'
    for place, service in enumerate(services):
        yield b"," * bool(place) + _encode(service.name) + b":{"
        for number, (name, part) in enumerate(service.record(account, contact)):
            yield b"," * bool(number) + _encode(name) + b":"
            if isinstance(part, Iterator):
                yield b"["
                for item_number, item in enumerate(part):
                    yield b"," * bool(item_number) + _encode(item)
                yield b"]"
            else:
                yield _encode(part)
        yield b"}"
    yield b"}}\n"


def rows(db: Database, query: Select[Any], order: Sequence[Column[Any]], view: View) -> Iterator[Any]:
    """A query's rows in the order of these columns (unique together), read in short transactions."""
    last: tuple[Any, ...] | None = None
    while True:
        part = query if last is None else query.where(tuple_(*order) > tuple_(*last))
        with db.read() as connection:
            found = connection.execute(part.order_by(*order).limit(AT_ONCE)).all()
            shown = [view(connection, row) for row in found]
        yield from shown
        if len(found) < AT_ONCE:
            return
        last = tuple(getattr(found[-1], column.name) for column in order)


def as_dict(row: Row[Any], *hidden: str) -> dict[str, Any]:
    """A row as it is in its table, without the hidden columns."""
    return {name: value for name, value in row._mapping.items() if name not in hidden}  # noqa: SLF001  public, in spite of its name
