"""`Idempotency-Key`: the same POST sent again gets the same answer and creates nothing a second time.

The answer is stored in the transaction that creates, so a crash keeps both or neither. Kept for 24 hours, per
API key.
"""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header, Request, Response
from sqlalchemy import Connection, delete, select, update

from backbone.auth import hash_key, key_of
from backbone.clock import WallClock
from backbone.database import insert_new
from backbone.errors import Conflict
from backbone.tables import idempotency as table

KEPT_US = 24 * 3_600 * 1_000_000
_KEPT_HEADERS = ("location", "etag", "content-type")


class Idempotency:
    """What one request says about repeating; a handler's parameter: `once: Once`."""

    def __init__(self, key: str | None, owner: str, fingerprint: bytes) -> None:
        self._key = key
        self._owner = owner
        self._fingerprint = fingerprint

    def run(self, connection: Connection, make: Callable[[], Response]) -> Response:
        """`make()`, or the answer it gave when this key was first used, in the creating transaction.

        Raises `Conflict` if the key was used with another request before. What `make` raises is not kept.
        """
        if self._key is None:
            return make()
        now = WallClock().now()
        mine = (table.c.owner == self._owner) & (table.c.idempotency_key == self._key)
        connection.execute(delete(table).where(table.c.created_at < now - KEPT_US))
        row: dict[str, Any] = {
            "owner": self._owner,
            "idempotency_key": self._key,
            "fingerprint": self._fingerprint,
        }
        row |= {"status": 0, "headers": "{}", "body": b"", "created_at": now}
        if not insert_new(connection, table, [row], ["owner", "idempotency_key"]):
            stored = connection.execute(select(table).where(mine)).one()
            if stored.fingerprint != self._fingerprint:
                message = (
                    "this Idempotency-Key was used with another request; use a new key for a new request"
                )
                raise Conflict(message, code="idempotency_key_reused")
            headers = msgspec.json.decode(stored.headers, type=dict[str, str])
            return Response(stored.body, stored.status, {**headers, "Idempotency-Replayed": "true"})
        response = make()
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        kept = {"status": response.status_code, "headers": msgspec.json.encode(headers).decode()}
        connection.execute(update(table).where(mine).values(**kept, body=bytes(response.body)))
        return response


async def _idempotency(
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=256, description="sent again, it gets the same answer")
    ] = None,
) -> Idempotency:
    if idempotency_key is None:
        return Idempotency(None, "", b"")
    authorization = request.headers.get("authorization")
    owner = hash_key(key_of(authorization)).hex()[:32] if authorization else ""
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode("utf-8", "surrogatepass"))
    digest.update(await request.body())
    return Idempotency(idempotency_key, owner, digest.digest())


Once = Annotated[Idempotency, Depends(_idempotency)]
