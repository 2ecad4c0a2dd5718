"""Suppressions: addresses that get no mail, of one topic or of all, as keyed hashes; and their order with sends.

The address itself is kept beside its hash until it is erased; the hash stays in force. The hashes depend on
`TOUCHLINE_SECRET_KEY`: with another key none of them matches, so keep the key.

No send begins after a suppression was committed. A send begins with a committed row (`attempting`), and the same
transaction looks at the suppressions; on PostgreSQL both sides take an advisory lock on the address. A suppression
waits, for a while, until the sends to its address that have begun are over.

A row says who suppressed the address (`Origin`). What people did by the page behind the link in a mail they may undo
there (`storage.preferences`), and nothing else.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

from sqlalchemy import Connection, and_, bindparam, delete, exists, or_, select, text, update

from backbone.clock import Clock
from backbone.database import Database, insert_new
from schemas.addresses import normal
from schemas.names import fitting
from services.actions.channels import NEED_CONSENT
from services.actions.storage.sql import Sql, listed
from services.actions.tables import actions, suppressions, topic_returns

ALL_TOPICS = ""
WAIT_S = 5.0  # for sends that have begun; after it the suppression is committed, and holds for later sends
_LOOK_S = 0.02
_DIGEST = 20  # bytes
_REMEMBERED = 4_096  # addresses
_CHUNK = 500

_SUPPRESSED = Sql("SELECT address, topic, origin FROM actions.actions_suppressions WHERE address {ids}")
_RETURNED = Sql("SELECT address, topic FROM actions.actions_topic_returns WHERE address {ids}")

Answer = TypeVar("Answer")


class Origin(StrEnum):
    """Who suppressed an address: its owner by the page, somebody over the API, or what came back of a mail."""

    PAGE = "page"
    HAND = "hand"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"


class Hasher:
    """Keyed hashes of addresses. `key`: the secret of this installation."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.new(key, b"touchline suppressions", hashlib.sha256).digest()
        self._digest = lru_cache(_REMEMBERED)(self._made)

    def digest(self, address: str) -> str:
        """The hash of an address: 40 hexadecimal digits, the same for every way of writing it."""
        return self._digest(address)

    def _made(self, address: str) -> str:
        return hmac.new(self._key, normal(address).encode("utf-8", "replace"), hashlib.sha256).hexdigest()[
            : _DIGEST * 2
        ]


def suppressed(conn: Connection, wanted: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of these (digest, topic) are suppressed, for the topic or for all."""
    pairs = set(wanted)
    rows = _SUPPRESSED.run(conn, listed(conn, sorted({digest for digest, _ in pairs})))
    origins = {(row.address, row.topic): row.origin for row in rows}
    of_all = {pair: origins.get((pair[0], ALL_TOPICS)) for pair in pairs if pair not in origins}
    found = {pair for pair in pairs if pair in origins or of_all[pair] is not None}
    by_page = {pair for pair in found if of_all.get(pair) == Origin.PAGE}
    return found - _returned(conn, by_page) if by_page else found


def _returned(conn: Connection, pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of these (digest, topic) that somebody came back to after stopping all by the page."""
    rows = _RETURNED.run(conn, listed(conn, sorted({digest for digest, _ in pairs})))
    return pairs & {(row.address, row.topic) for row in rows}


def without_mail(conn: Connection, topic: str) -> list[str]:
    """The hashes of all addresses that get no mail of a topic."""
    here = suppressions.c
    back = exists().where(topic_returns.c.address == here.address, topic_returns.c.topic == topic)
    of_all = and_(here.topic == ALL_TOPICS, or_(here.origin != Origin.PAGE, ~back))
    return list(conn.scalars(select(here.address).where(or_(here.topic == topic, of_all)).distinct()))


def lock(conn: Connection, digests: Iterable[str], *, shared: bool, accounts: Iterable[str] = ()) -> None:
    """Lock addresses until the transaction ends: sends share the lock, a suppression has it alone.

    Sends that a cap counts have it alone too, and that of their `accounts` where a cap counts by them. SQLite has one
    writer, and needs no lock.
    """
    if conn.dialect.name != "postgresql":
        return
    verb = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    # Always in this order, so that nobody deadlocks.
    keys = sorted({int(digest[:15], 16) for digest in (*digests, *map(_of_account, accounts))})
    for key in keys:
        conn.execute(text(f"SELECT {verb}(:key)").bindparams(bindparam("key", key)))


def _of_account(account: str) -> str:
    return hashlib.blake2b(
        b"touchline account " + account.encode("utf-8", "replace"), digest_size=8
    ).hexdigest()


def add(
    conn: Connection,
    digest: str,
    topic: str,
    shown: str | None,
    reason: str,
    now: int,
    origin: Origin = Origin.HAND,
) -> bool:
    """Suppress an address; returns whether that was new. `now` is in microseconds.

    What its owner had done by the page becomes what another origin says: then the page does not undo it any more.
    """
    row = {
        "address": digest, "topic": topic, "shown": shown, "reason": reason, "created_at": now, "origin": origin.value,
    }  # fmt: skip
    if insert_new(conn, suppressions, [row], ["address", "topic"]) == 1:
        return True
    if origin == Origin.PAGE:
        return False
    mine = and_(
        suppressions.c.address == digest, suppressions.c.topic == topic, suppressions.c.origin == Origin.PAGE
    )
    said = {"reason": reason, "origin": origin.value}
    return conn.execute(update(suppressions).where(mine).values(said)).rowcount == 1


def remove(conn: Connection, digest: str, topic: str | None) -> int:
    """Lift the suppressions of an address, or the one of a topic; returns how many there were."""
    mine = suppressions.c.address == digest
    if topic is not None:
        mine = and_(mine, suppressions.c.topic == topic)
    if topic in (None, ALL_TOPICS):  # they only say for what a stop of all does not hold
        conn.execute(delete(topic_returns).where(topic_returns.c.address == digest))
    return conn.execute(delete(suppressions).where(mine)).rowcount


def forget(conn: Connection, addresses: Iterable[str | None]) -> None:
    """Erase the addresses themselves; their hashes stay."""
    shown = sorted({normal(fitting(address) or "") for address in addresses if address})
    for start in range(0, len(shown), _CHUNK):
        part = shown[start : start + _CHUNK]
        conn.execute(update(suppressions).where(suppressions.c.shown.in_(part)).values(shown=None))


def once_quiet(
    db: Database,
    hasher: Hasher,
    digest: str,
    clock: Clock,
    act: Callable[[Connection], Answer],
    wait: float = WAIT_S,
) -> Answer:
    """Run `act` in a transaction while no send to this address is under way; after `wait` seconds run it anyway."""
    deadline = time.monotonic() + wait
    while True:
        with db.write() as conn:
            lock(conn, [digest], shared=False)
            if time.monotonic() >= deadline or not _under_way(conn, hasher, digest, clock.now()):
                return act(conn)
        time.sleep(_LOOK_S)


def _under_way(conn: Connection, hasher: Hasher, digest: str, now: int) -> bool:
    """Whether a send to this address has begun and not ended. If its process died, its lease runs out."""
    query = select(actions.c.recipient).where(
        actions.c.next_attempt_at <= now,
        actions.c.attempting,
        actions.c.channel.in_(NEED_CONSENT),
        actions.c.lease_until >= now,
    )
    return any(hasher.digest(recipient or "") == digest for recipient in conn.scalars(query))
