"""Locks between all processes. On SQLite, a transaction that writes has the database to itself."""

from collections.abc import Iterable
from zlib import crc32

from sqlalchemy import Connection, text

ROOM = 0x73656769  # "segi": sets our advisory locks apart from others'
BUCKETS = 1_024  # of users
MERGES = BUCKETS  # the one behind them
KEYS = MERGES + 1  # from here on those of the directory's keys
# Few: a batch of the worker takes most of them, and PostgreSQL has room for some thousand locks.
KEY_BUCKETS = 64

# All that such a transaction reads it finds by a key. Left alone, PostgreSQL keeps the plan that it made while a table
# was nearly empty, to read all of it, until its statistics are made anew.
_LOCK = text(
    "SELECT pg_advisory_xact_lock(:room, one) "
    "FROM (SELECT set_config('enable_seqscan', 'off', true)) AS plan, unnest(CAST(:locks AS int[])) AS one"
)


def lock_users(connection: Connection, users: Iterable[str]) -> None:
    """Until the transaction ends, nobody else places calls of these users.

    Everybody takes these locks in one order, so that no two wait for each other.
    """
    _lock(connection, {crc32(user.encode("utf-8", "surrogatepass")) % BUCKETS for user in users})


def lock_merges(connection: Connection) -> None:
    """Until the transaction ends, nobody else merges accounts. Take it after the users' locks, never before."""
    _lock(connection, {MERGES})


def lock_placing(connection: Connection, names: Iterable[bytes], keys: Iterable[bytes]) -> None:
    """Until the transaction ends, nobody else places the events of these names, or changes what stands under these
    keys or parks an event that asks for them. Take it before any other lock, and once."""
    _lock(
        connection,
        {crc32(one) % BUCKETS for one in names} | {KEYS + crc32(one) % KEY_BUCKETS for one in keys},
    )


def _lock(connection: Connection, locks: set[int]) -> None:
    if locks and connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"room": ROOM, "locks": sorted(locks)})
