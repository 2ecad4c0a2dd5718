"""`Idempotency-Key`: the same POST sent again gets the same answer and creates nothing a second time.

The answer is stored in the creating transaction, so a crash keeps both or neither. It is kept for 24 hours, per API
key. It is sealed, since it may hold personal data: only a client that sends the same two keys again can open it.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Depends, Header, Request, Response
from sqlalchemy import Connection, delete, select, update

from backbone.clock import WallClock
from backbone.database import Database, insert_new
from backbone.errors import Conflict
from backbone.tables import idempotency as table
from backbone.web.api_keys import hash_key, key_of

KEPT_US = 24 * 3_600 * 1_000_000
NONCE_BYTES = 12
SEALED = ""  # instead of the headers, which are sealed with the body
_KEPT_HEADERS = ("location", "etag", "content-type")


class _Answer(msgspec.Struct):
    headers: dict[str, str]
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Answer).decode


class Idempotency:
    """Makes one request idempotent; a handler's parameter: `once: Once`."""

    def __init__(self, key: str | None, authorization: str | None, fingerprint: bytes) -> None:
        self._named = key is not None
        api_key = key_of(authorization) if authorization else ""
        self._owner = hash_key(api_key).hex()[:32] if authorization else ""
        self._key = name_of(self._owner, key or "")
        self._fingerprint = fingerprint
        self._seal = AESGCM(_secret(api_key, key or ""))

    @property
    def name(self) -> str | None:
        """What stands for the key and its owner, for a handler that keeps the answer itself; None: no key came."""
        return self._key.removeprefix("#") if self._named else None

    @property
    def fingerprint(self) -> bytes:
        """What tells this request from others with the same key."""
        return self._fingerprint

    def run(
        self, connection: Connection, make: Callable[[], Response], shown_once: frozenset[str] = frozenset()
    ) -> Response:
        """`make()`, or the answer that it gave when this key was first used; call it in the creating transaction.

        A repeated answer leaves out the fields in `shown_once`. Raises `Conflict` if the key was used with another
        request before. An error of `make` is not kept.
        """
        if not self._named:
            return make()
        now = WallClock().now()
        mine = (table.c.owner == self._owner) & (table.c.idempotency_key == self._key)
        prune(connection, now)
        row: dict[str, Any] = {
            "owner": self._owner,
            "idempotency_key": self._key,
            "fingerprint": self._fingerprint,
        }
        row |= {"status": 0, "headers": SEALED, "body": b"", "created_at": now}
        if not insert_new(connection, table, [row], ["owner", "idempotency_key"]):
            return self._again(connection.execute(select(table).where(mine)).one())
        response = make()
        kept = {"status": response.status_code, "body": self._sealed(response, shown_once)}
        connection.execute(update(table).where(mine).values(**kept))
        return response

    def _again(self, stored: Any) -> Response:
        if stored.fingerprint != self._fingerprint:
            message = "this Idempotency-Key was used with another request; use a new key for a new request"
            raise Conflict(message, code="idempotency_key_reused")
        if stored.headers == SEALED:
            nonce, sealed = stored.body[:NONCE_BYTES], stored.body[NONCE_BYTES:]
            answer = _decode(self._seal.decrypt(nonce, sealed, self._fingerprint))
        else:  # stored by a release that did not seal answers
            answer = _Answer(msgspec.json.decode(stored.headers, type=dict[str, str]), stored.body)
        return Response(answer.body, stored.status, {**answer.headers, "Idempotency-Replayed": "true"})

    def _sealed(self, response: Response, shown_once: frozenset[str]) -> bytes:
        body = bytes(response.body)
        if shown_once:
            shown = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            body = msgspec.json.encode(
                {name: value for name, value in shown.items() if name not in shown_once}
            )
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._seal.encrypt(nonce, _encode(_Answer(headers, body)), self._fingerprint)


def name_of(owner: str, key: str) -> str:
    """The hash that stands for an Idempotency-Key in the table, since the key itself may hold personal data."""
    text = f"{owner}\n{key}".encode("utf-8", "surrogatepass")
    return "#" + hashlib.blake2b(text, digest_size=32).hexdigest()


def _secret(api_key: str, key: str) -> bytes:
    """The secret that seals an answer, made from both keys, of which the table has only hashes."""
    outer = hashlib.blake2b(api_key.encode("utf-8", "surrogatepass"), person=b"idempotency").digest()
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=outer, digest_size=32).digest()


def prune(connection: Connection, now: int) -> None:
    """Delete answers older than 24 hours. `now` is in microseconds."""
    connection.execute(delete(table).where(table.c.created_at < now - KEPT_US))


def prune_all(db: Database) -> None:
    """Delete old answers even if nobody sends a key any more."""
    now = WallClock().now()
    with db.read() as connection:
        old = connection.scalar(select(table.c.owner).where(table.c.created_at < now - KEPT_US).limit(1))
    if old is not None:
        with db.write() as connection:
            prune(connection, now)


async def _idempotency(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=256,
            description="A key of your choice. A request repeated with the same key gets the same answer and "
            "creates nothing twice.",
        ),
    ] = None,
) -> Idempotency:
    if idempotency_key is None:
        return Idempotency(None, None, b"")
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode("utf-8", "surrogatepass"))
    digest.update(await request.body())
    return Idempotency(idempotency_key, request.headers.get("authorization"), digest.digest())


Once = Annotated[Idempotency, Depends(_idempotency)]
