"""Which actions a process may lease next: the longest due first, and of each endpoint no more than it has room for.

SQL only. What one endpoint has due beyond that is passed over, so that it does not hide the actions behind it.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from services.actions.channels import CHANNELS
from services.actions.plays.model import SENDABLE
from services.actions.storage.sql import Sql, listed

ROUNDS = 5  # reads of one lease; each passes over the endpoints that had more due than room

Key = tuple[str, str]  # channel and recipient
_DUE = """
    SELECT a.id, a.channel, a.recipient FROM actions.actions_actions a
    WHERE a.next_attempt_at <= ? AND a.status IN ({sendable}) AND (a.lease_until IS NULL OR a.lease_until < ?)
    %s ORDER BY a.next_attempt_at, a.seq LIMIT ? {lock_free}
"""
_WORDS = {"sendable": ", ".join(f"'{status}'" for status in SENDABLE)}
_due = Sql(_DUE % "", **_WORDS)
_due_but = Sql(_DUE % "AND NOT (a.channel || ' ' || COALESCE(a.recipient, '') {ids})", **_WORDS)


class Wanted(NamedTuple):
    """How many actions to lease: `limit`; of each endpoint in `of` (channel and name) that many, of any other `others`.

    None of `without`, (channel, recipient) each. What is leased of an endpoint in `begin` begins with its lease.
    """

    limit: int
    without: Collection[Key] = ()
    of: Mapping[Key, int] = {}
    others: int | None = None  # None: any number
    begin: Collection[Key] = ()


def due_ids(conn: Connection, now: int, wanted: Wanted) -> tuple[list[str], bool]:
    """The ids of due actions that nobody has leased, and whether others may be due that could be leased as well."""
    without, done = set(wanted.without), list[str]()
    for _ in range(ROUNDS):
        rows = _read(conn, now, wanted.limit - len(done), without)
        found: dict[Key, list[str]] = {}
        for row in rows:
            found.setdefault((row.channel, row.recipient or ""), []).append(row.id)
        full = {
            key: room for key in found if (room := _room(wanted, key)) is not None and len(found[key]) > room
        }
        if not full:
            return [*done, *(row.id for row in rows)], False
        for key, room in full.items():
            done += found[key][:room]
        without |= full.keys()
    return done, True


def _room(wanted: Wanted, key: Key) -> int | None:
    spec = CHANNELS.get(key[0])
    if wanted.others is None or spec is None or not spec.to_endpoints:
        return None
    return wanted.of.get(key, wanted.others)


def _read(conn: Connection, now: int, limit: int, without: Collection[Key]) -> list[Row[Any]]:
    if limit <= 0:
        return []
    if not without:
        return list(_due.run(conn, now, now, limit))
    left_out = listed(conn, [" ".join(one) for one in without])
    return list(_due_but.run(conn, now, now, left_out, limit))
