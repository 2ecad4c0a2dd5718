"""Which actions a process may lease next: the longest due first, and of each endpoint no more than it has room for.

SQL only. What one endpoint has due beyond that is passed over, so that it does not hide the actions behind it. This
reads all of it, so a process does so for a tenth of its time at most; in between it looks at what fell due lately.
"""

import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from services.actions.channels import CHANNELS
from services.actions.plays.model import SENDABLE
from services.actions.storage.sql import Sql, listed

ROUNDS = 5  # reads of one lease; each passes over the endpoints that had more due than room
REST = 9  # looks past endpoints pause this many times as long as the last one took
LATELY_US = 250_000  # longer than it takes until others see what falls due now
SECOND_US = 1_000_000

Key = tuple[str, str]  # channel and recipient
_DUE = """
    SELECT a.id, a.channel, a.recipient FROM actions.actions_actions a
    WHERE a.next_attempt_at <= ? AND a.status IN ({sendable}) AND (a.lease_until IS NULL OR a.lease_until < ?)
    %s ORDER BY a.next_attempt_at, a.seq LIMIT ? {lock_free}
"""
_BUT = "AND NOT (a.channel || ' ' || COALESCE(a.recipient, '') {ids}) AND a.next_attempt_at >= ?"
_WORDS = {"sendable": ", ".join(f"'{status}'" for status in SENDABLE)}
_due = Sql(_DUE % "", **_WORDS)
_due_but = Sql(_DUE % _BUT, **_WORDS)


class _Due(msgspec.Struct, array_like=True):
    id: str
    channel: str
    recipient: str | None


class Wanted(NamedTuple):
    """How many actions to lease: `limit`; of each endpoint in `of` (channel and name) that many, of any other `others`.

    None of `without`, (channel, recipient) each. What is leased of an endpoint in `begin` begins with its lease.
    """

    limit: int
    without: Collection[Key] = ()
    of: Mapping[Key, int] = {}
    others: int | None = None  # None: any number
    begin: Collection[Key] = ()


class Looks:
    """When a process looks past the endpoints that have more due than room, and how far back."""

    def __init__(self) -> None:
        self._from = 0  # what fell due before has been looked at
        self._rest_until = 0.0

    @property
    def rest_us(self) -> int:
        """How long it looks only at what fell due lately."""
        return max(0, round((self._rest_until - time.monotonic()) * SECOND_US))

    def past(
        self, conn: Connection, now: int, limit: int, without: Collection[Key], *, everything: bool
    ) -> list[_Due]:
        """The due actions of all other endpoints; unless `everything`, those of them that fell due since."""
        started = time.monotonic()
        since = 0 if everything else min(self._from, now) - LATELY_US
        left_out = listed(conn, [" ".join(one) for one in without])
        found = _due_but.read(conn, _Due, now, now, left_out, since, limit)
        if everything and len(found) < limit:
            ended = time.monotonic()
            self._from, self._rest_until = now, ended + REST * (ended - started)
        return found


class Chosen(NamedTuple):
    """The ids of due actions that nobody has leased, and when to ask again, as others may be due (None: none are)."""

    ids: list[str]
    again: int | None = None


def due_ids(conn: Connection, now: int, wanted: Wanted, looks: Looks) -> Chosen:
    """The actions to lease."""
    without, done, rest = set(wanted.without), list[str](), looks.rest_us
    for _ in range(ROUNDS):
        limit = wanted.limit - len(done)
        if limit <= 0:
            return Chosen(done)
        if without:
            rows = looks.past(conn, now, limit, without, everything=not rest)
        else:
            rows = _due.read(conn, _Due, now, now, limit)
        found: dict[Key, list[str]] = {}
        for row in rows:
            found.setdefault((row.channel, row.recipient or ""), []).append(row.id)
        full = {
            key: room for key in found if (room := _room(wanted, key)) is not None and len(found[key]) > room
        }
        if not full:
            return Chosen([*done, *(row.id for row in rows)], now + rest if without and rest else None)
        for key, room in full.items():
            done += found[key][:room]
        without |= full.keys()
    return Chosen(done, now)


def _room(wanted: Wanted, key: Key) -> int | None:
    spec = CHANNELS.get(key[0])
    if wanted.others is None or spec is None or not spec.to_endpoints:
        return None
    return wanted.of.get(key, wanted.others)
