"""`/v1/keys` and `GET /v1/me`: API keys over HTTP. Every app has them; all write the same table.

Decision 0046 says what a caller cannot do to itself here.
"""

import time
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import Connection, Row, or_, select, text

from backbone.audit import AuditTrail
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import NameTaken, NotFound, StateConflict
from backbone.tables import keys
from backbone.web.api_keys import (
    ADMIN,
    ANY,
    CACHE_S,
    KeyInfo,
    Principal,
    add_key,
    info,
    mark_revoked,
    require,
)
from backbone.web.audit import Trail
from backbone.web.idempotency import Once
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from backbone.web.pagination import Pages, Text, etag, page
from backbone.web.responses import json_response
from schemas.answers import page_of
from schemas.event import rfc3339
from schemas.key import KEY_EXAMPLE, KeyIn, KeyOut, MeOut, NewKeyOut

Name = Annotated[str, Path(min_length=1, max_length=256, description="The name of the key, or its id.")]
KeyBody = Annotated[KeyIn, AS_SHOWN, example(KEY_EXAMPLE)]
SHOWN_ONCE = frozenset({"key"})


def keys_router(db: Database, clock: Clock) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["keys"], route_class=JsonRoute)
    _reading(router, db)
    _changing(router, db, clock)
    return router


def _reading(router: APIRouter, db: Database) -> None:
    @router.get("/v1/me", response_model=MeOut, summary="Get the name, scopes and email of the key that asks")
    def me(caller: Principal = require(ANY)) -> Response:
        return json_response({"name": caller.name, "scopes": sorted(caller.scopes), "email": caller.email})

    @router.get("/v1/keys", response_model=page_of(KeyOut), summary="List API keys, newest first")
    def listed(
        pages: Pages,
        name: Text = None,
        revoked: Annotated[
            bool, Query(description="With `true`, the keys that were revoked instead of those that work.")
        ] = False,
        _: Principal = require(ADMIN),
    ) -> Response:
        """Keys themselves are never shown: `prefix` is how one begins."""
        query = select(keys).where(keys.c.revoked_at.is_not(None) if revoked else keys.c.revoked_at.is_(None))
        if name is not None:
            query = query.where(keys.c.name == name)
        with db.read() as connection:
            return json_response(
                page(connection, query, [keys.c.created_at, keys.c.id], pages, lambda row: _view(info(row)))
            )


def _changing(router: APIRouter, db: Database, clock: Clock) -> None:
    @router.post("/v1/keys", status_code=201, response_model=NewKeyOut, summary="Create an API key")
    def create(body: KeyBody, once: Once, trail: Trail, _: Principal = require(ADMIN)) -> Response:
        """The answer has the key in `key`; only a hash of it is stored."""
        with db.write() as connection:
            return once.run(connection, lambda: _created(connection, clock, body, trail), SHOWN_ONCE)

    @router.delete("/v1/keys/{name:path}", status_code=204, summary="Revoke the API keys of this name")
    def revoke(name: Name, trail: Trail, _: Principal = require(ADMIN)) -> Response:
        """Every key with this name is revoked, or the one with this id. Once this has answered, they are refused
        everywhere. The last keys with the scope `admin` are not revoked (409): nobody could create another over the
        API.
        """
        with db.write() as connection:
            _alone(connection)
            working = connection.execute(select(keys).where(keys.c.revoked_at.is_(None))).all()
            found = [row for row in working if name in (row.name, row.id)]
            if not found:
                raise NotFound(f"there is no key with the name or id {name!r} that is not revoked yet")
            if _is_last(found, working):
                raise StateConflict(
                    f"{name!r} is the last key with the scope admin; create another one first, or use "
                    "`touchline keys revoke` on the machine"
                )
            mark_revoked(connection, found, clock.now(), trail)
        time.sleep(CACHE_S)  # no process remembers them any more
        return Response(status_code=204)


def _created(connection: Connection, clock: Clock, body: KeyIn, trail: AuditTrail) -> Response:
    _alone(connection)
    named = or_(keys.c.name == body.name, keys.c.id == body.name)
    if connection.execute(select(keys.c.id).where(named, keys.c.revoked_at.is_(None))).first():
        raise NameTaken(f"there is a key {body.name!r} already")
    key, kept = add_key(connection, clock.now(), body.name, body.scopes, body.email, trail)
    headers = {"ETag": etag(kept.id), "Location": f"/v1/keys/{quote(body.name, safe='')}"}
    return json_response({**_view(kept), "key": key}, 201, headers)


def _alone(connection: Connection) -> None:
    """Let no other call change keys until this transaction ends: two could each leave the other's admin key."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE backbone.backbone_keys IN SHARE ROW EXCLUSIVE MODE"))


def _is_last(found: Sequence[Row[Any]], working: Sequence[Row[Any]]) -> bool:
    """Whether an admin key is among these, and none beside them."""
    admins = {row.id for row in working if ADMIN in row.scopes.split()}
    return bool(admins) and admins <= {row.id for row in found}


def _view(key: KeyInfo) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "email": key.email,
        "created_at": rfc3339(key.created_at),
        "revoked_at": None if key.revoked_at is None else rfc3339(key.revoked_at),
    }
