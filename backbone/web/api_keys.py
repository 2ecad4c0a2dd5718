"""API keys: creating, listing and revoking them, and what a request's key allows.

A key is `tl_` and 43 random characters (256 bits), so a plain SHA-256 of it is safe to store. A process remembers a
key for `CACHE_S`. `revoke` waits that long, so that a revoked key is refused everywhere once it returns.
"""

import base64
import binascii
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from fastapi import Depends, Request
from sqlalchemy import Connection, Row, insert, or_, select, update

from backbone.audit import AuditTrail, command_trail
from backbone.clock import Clock
from backbone.data_folder import KEY_REMEDY, read_private, write_private
from backbone.database import Database, insert_new
from backbone.errors import DatabaseUnavailable, Forbidden, Invalid, NotFound, Unauthorized
from backbone.tables import keys
from backbone.thread_pool import ThreadPool
from schemas.addresses import BadAddress, trimmed_address
from schemas.key import SCOPES

TRACK = "track"
FEEDBACK = "feedback"
NARROW = frozenset({TRACK, FEEDBACK})  # scopes that allow only their one purpose
ADMIN = "admin"
ANY = "any"  # of a route: any valid key will do
OPEN = "open"  # of a route: no key is asked for
CALLER = "touchline.caller"  # where RequestMiddleware puts the Principal in the ASGI scope
CACHE_S = 0.25
STALE_S = 60.0  # how long a known key still works while the database is away
CACHE_SIZE = 10_000
MAX_KEY = 200
LOOK_UPS = 8  # concurrent look-ups
_UNKNOWN = "the API key is unknown or was revoked"


class Principal(msgspec.Struct, frozen=True):
    """The caller: a key's id, its name (as `changed_by`), its scopes, and the address of the person who has it."""

    key_id: str
    name: str
    scopes: frozenset[str]
    email: str | None = None

    def allows(self, scope: str) -> bool:
        """Whether the key has the scope. `admin` includes every scope; `events:write` includes `track`."""
        if scope == ANY:
            return not self.scopes <= NARROW
        return not self.scopes.isdisjoint({scope, ADMIN, "events:write" if scope == TRACK else scope})

    def must(self, scope: str) -> "Principal":
        """The principal itself. Raises `Forbidden` if the key lacks the scope."""
        if not self.allows(scope):
            lacking = (
                f"a scope beside {', '.join(sorted(self.scopes))}" if scope == ANY else f"the scope {scope}"
            )
            raise Forbidden(f"the key {self.name!r} lacks {lacking}")
        return self


class KeyInfo(msgspec.Struct, frozen=True):
    """A key as lists show it; times are in microseconds."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    email: str | None
    created_at: int
    revoked_at: int | None


def create_key(db: Database, clock: Clock, name: str, scopes: Sequence[str], email: str | None = None) -> str:
    """Create a key with `touchline keys create` and return it; it is never shown again.

    Raises `Invalid` for a bad name, scope or address. A name may be used again: two keys of one name are revoked
    together.
    """
    if not 1 <= len(name) <= 256 or "\0" in name:
        raise Invalid([{"field": "name", "message": "should have 1 to 256 characters"}])
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        message = f"{', '.join(wrong) or 'none given'}; allowed: {', '.join(SCOPES)}"
        raise Invalid([{"field": "scope", "message": message}])
    try:
        address = None if email is None else trimmed_address(email)
    except BadAddress as error:
        raise Invalid([{"field": "email", "message": str(error)}]) from None
    with db.write() as connection:
        return add_key(connection, clock.now(), name, scopes, address, command_trail(clock, "create"))[0]


def add_key(
    connection: Connection, now: int, name: str, scopes: Sequence[str], email: str | None, trail: AuditTrail
) -> tuple[str, KeyInfo]:
    """Store a new key; returns it, and what is stored of it."""
    key = "tl_" + secrets.token_urlsafe(32)
    row = _row(key, name, scopes, now, email)
    connection.execute(insert(keys).values(row))
    kept = connection.execute(select(keys).where(keys.c.id == row["id"])).one()
    trail.note(connection, "key", name, after=_audited(kept))
    return key, info(kept)


def _row(key: str, name: str, scopes: Sequence[str], now: int, email: str | None = None) -> dict[str, Any]:
    return {
        "id": "key_" + secrets.token_hex(8),
        "name": name,
        "prefix": key[:9],
        "hash": hash_key(key),
        "scopes": " ".join(sorted(set(scopes))),
        "email": email,
        "created_at": now,
        "revoked_at": None,
    }


def _audited(row: Row[Any]) -> dict[str, Any]:
    """A key in the audit, which names nobody's address."""
    return {"id": row.id, "scopes": row.scopes.split()}


def info(row: Row[Any]) -> KeyInfo:
    """A key as lists show it."""
    return KeyInfo(
        row.id, row.name, row.prefix, row.scopes.split(), row.email, row.created_at, row.revoked_at
    )


def hash_key(key: str) -> bytes:
    """The hash that is stored for a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def list_keys(db: Database) -> list[KeyInfo]:
    """All keys, newest first, including revoked ones."""
    with db.read() as connection:
        rows = connection.execute(select(keys).order_by(keys.c.created_at.desc(), keys.c.id)).all()
    return [info(row) for row in rows]


def revoke_key(db: Database, clock: Clock, which: str, *, wait: float = CACHE_S) -> int:
    """What `touchline keys revoke` does: revoke every key with this id, prefix or name, and return how many there
    were. Raises `NotFound`.

    Waits until no process remembers the keys any more.
    """
    named = or_(keys.c.id == which, keys.c.prefix == which, keys.c.name == which)
    with db.write() as connection:
        query = select(keys).where(named, keys.c.revoked_at.is_(None))
        found = connection.execute(query.with_for_update()).all()
        mark_revoked(connection, found, clock.now(), command_trail(clock, "revoke"))
    if not found:
        raise NotFound(f"there is no key with the id, prefix or name {which!r} that is not revoked yet")
    time.sleep(wait)
    return len(found)


def mark_revoked(connection: Connection, found: Sequence[Row[Any]], now: int, trail: AuditTrail) -> None:
    """Revoke these keys. Processes remember them for up to `CACHE_S` after the commit."""
    ids = [row.id for row in found]
    connection.execute(update(keys).where(keys.c.id.in_(ids)).values(revoked_at=now))
    for row in found:
        trail.note(connection, "key", row.name, before=_audited(row))


def ensure_admin_key(db: Database, clock: Clock, path: Path) -> str | None:
    """Create the admin key on the first start and keep it in `path` (0600). Returns the key if it is new, else None.

    A key in the file that the database does not know (a new database with an old file) is adopted. Raises
    `ConfigurationError` if the file contains no key.
    """
    if not path.exists():
        key = "tl_" + secrets.token_urlsafe(32)
        with db.write() as connection:
            connection.execute(insert(keys).values(_row(key, "admin", [ADMIN], clock.now())))
            write_private(path, key + "\n")
        return key
    key = read_private(path, KEY_REMEDY)
    with db.write() as connection:
        insert_new(connection, keys, [_row(key, "admin", [ADMIN], clock.now())], ["hash"])
    return None


class Keys:
    """Looks up keys, with a small cache. Thread-safe."""

    def __init__(self, db: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._monotonic = monotonic
        self._known: dict[str, tuple[Principal, float]] = {}
        self._lane = ThreadPool("keys", LOOK_UPS)

    def cached(self, key: str) -> Principal | None:
        """The key's principal, if it was looked up within the last `CACHE_S`."""
        known = self._known.get(key)
        return known[0] if known is not None and self._monotonic() - known[1] < CACHE_S else None

    async def authorize(self, header: str | None, scope: str) -> Principal:
        """The caller, from its Authorization header. Raises `Unauthorized` or `Forbidden`."""
        return await self.admit(key_of(header), scope)

    async def admit(self, key: str, scope: str) -> Principal:
        """The caller, from its key. Raises `Unauthorized` or `Forbidden`."""
        if not 1 <= len(key) <= MAX_KEY:
            raise Unauthorized(_UNKNOWN)
        principal = self.cached(key)
        if principal is None:
            principal = await self._lane(self.find, key)
        return principal.must(scope)

    def find(self, key: str) -> Principal:
        """Look a key up. Raises `Unauthorized`, and `DatabaseUnavailable` for keys that were not seen lately.

        Blocks.
        """
        asked = self._monotonic()
        try:
            with self._db.read() as connection:
                query = select(keys).where(keys.c.hash == hash_key(key), keys.c.revoked_at.is_(None))
                row = connection.execute(query).one_or_none()
        except DatabaseUnavailable:
            known = self._known.get(key)
            if known is None or asked - known[1] > STALE_S:
                raise
            return known[0]
        if row is None:
            self._known.pop(key, None)
            raise Unauthorized(_UNKNOWN)
        principal = Principal(row.id, row.name, frozenset(row.scopes.split()), row.email)
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        self._known[key] = (principal, asked)
        return principal


def key_of(header: str | None) -> str:
    """The key in an Authorization header: the Bearer token, or the user name of basic auth (a Segment write key)."""
    if not header:
        raise Unauthorized("no API key: send Authorization: Bearer <key>")
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthorized("the basic Authorization header cannot be read") from None
    elif scheme.lower() != "bearer":
        raise Unauthorized("the Authorization header should be: Bearer <key>")
    if not value or len(value) > MAX_KEY:
        raise Unauthorized(_UNKNOWN)
    return value


async def authorize(request: Request, scope: str) -> Principal:
    """The caller, if its key carries the scope. `RequestMiddleware` has looked the key up already.

    Raises `Unauthorized` or `Forbidden`.
    """
    caller: Principal | None = request.scope.get(CALLER)
    if caller is None:
        keys_: Keys = request.app.state.keys
        return await keys_.authorize(request.headers.get("authorization"), scope)
    return caller.must(scope)


Checker = Callable[[Request], Awaitable[Principal]]
_checkers: dict[str, Checker] = {}


def checker(scope: str) -> Checker:
    """The dependency behind `require`.

    It carries the scope as `route_scope`, for the test that checks every route.
    """
    if scope not in (*SCOPES, ANY):
        raise ValueError(f"no such scope: {scope}")
    if scope not in _checkers:

        async def check(request: Request) -> Principal:
            return await authorize(request, scope)

        check.route_scope = scope  # type: ignore[attr-defined]
        _checkers[scope] = check
    return _checkers[scope]


def require(scope: str) -> Any:
    """A FastAPI dependency that yields the `Principal`: `principal: Principal = require("rules:read")`."""
    return Depends(checker(scope))


async def _open() -> None:
    """Checks nothing."""


_open.route_scope = OPEN  # type: ignore[attr-defined]
open_route: Any = Depends(_open)  # for the `dependencies` of a route that requires no key
