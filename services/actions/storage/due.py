"""Which actions a process may lease next: the longest due first, and of each endpoint no more than it has room for.

SQL only. What one endpoint has due beyond that is passed over, so that it does not hide the actions behind it. This
reads all of it, so a process does so for a tenth of its time at most. In between it looks at what fell due lately, and
at the endpoints that had more due than room, each from where the rest of it begins.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from services.actions.channels import CHANNELS
from services.actions.plays.model import SENDABLE
from services.actions.storage.sql import Sql, Unreadable, listed

ROUNDS = 5  # reads of one lease; each passes over the endpoints that had more due than room
REST = 9  # looks past endpoints pause this many times as long as the last one took
LONGEST_REST_S = 5.0  # but no longer: what was given back, or whose lease ran out, may have been due for long
LATELY_US = 250_000  # longer than it takes until others see what falls due now
SECOND_US = 1_000_000

Key = tuple[str, str]  # channel and recipient
_DUE = """
    SELECT a.id, a.channel, a.recipient, a.next_attempt_at FROM actions.actions_actions a {by_due}
    WHERE a.next_attempt_at <= ? AND a.status IN ({sendable}) AND (a.lease_until IS NULL OR a.lease_until < ?)
    %s ORDER BY a.next_attempt_at, a.seq LIMIT ? {lock_free}
"""
_KEY = "(a.channel || ' ' || COALESCE(a.recipient, '') {ids})"
_SINCE = "AND a.next_attempt_at >= ?"
_WORDS = {"sendable": ", ".join(f"'{status}'" for status in SENDABLE)}
_due = Sql(_DUE % "", **_WORDS)
_due_but = Sql(_DUE % f"AND NOT {_KEY} {_SINCE}", **_WORDS)
_due_of = Sql(_DUE % f"AND {_KEY} {_SINCE}", **_WORDS)
_WORDS_OF_NEXT = {**_WORDS, "most": str(2**63 - 1)}  # what sorts after it is no number
_next = Sql(
    """
    SELECT (SELECT min(next_attempt_at) FROM actions.actions_actions
    WHERE next_attempt_at > ? AND next_attempt_at <= {most}) AS first,
    (SELECT max(next_attempt_at) FROM actions.actions_actions) AS last
""",
    **_WORDS_OF_NEXT,
)
_never = Sql(
    "SELECT id FROM actions.actions_actions WHERE next_attempt_at > {most} AND status IN ({sendable})",
    **_WORDS_OF_NEXT,
)


class _Due(msgspec.Struct, array_like=True):
    id: str
    channel: str
    recipient: str | None
    next_attempt_at: int

    @property
    def key(self) -> Key:
        return self.channel, self.recipient or ""


class Wanted(NamedTuple):
    """How many actions to lease: `limit`; of each endpoint in `of` (channel and name) that many, of any other `others`.

    None of `without`, (channel, recipient) each. What is leased of an endpoint in `begin` begins with its lease.
    """

    limit: int
    without: Collection[Key] = ()
    of: Mapping[Key, int] = {}
    others: int | None = None  # None: any number
    begin: Collection[Key] = ()

    def room(self, key: Key) -> int | None:
        """How many actions of a key to lease at most; None: any number."""
        spec = CHANNELS.get(key[0])
        if self.others is None or spec is None or not spec.to_endpoints:
            return None
        return self.of.get(key, self.others)


class Looks:
    """When a process looks past the endpoints that have more due than room, and what it knows of them in between."""

    def __init__(self) -> None:
        self._from = 0  # what fell due before has been looked at
        self._rest_until = 0.0
        self._left: dict[Key, int] = {}  # endpoints that may have more due, and since when

    @property
    def rest_us(self) -> int:
        """How long it does not look at everything."""
        return max(0, round((self._rest_until - time.monotonic()) * SECOND_US))

    def leave(self, key: Key, at: int) -> None:
        """An endpoint has more due than room, from this moment on."""
        self._left[key] = at

    def past(
        self, conn: Connection, now: int, limit: int, without: Collection[Key], wanted: Wanted
    ) -> tuple[list[_Due], bool]:
        """Due actions of all other endpoints, and whether there may be more."""
        if self.rest_us:
            known = {key: at for key, at in self._left.items() if key not in without}
            found, more = self._of(conn, now, limit, known, wanted) if known else ([], False)
            found += self._but(conn, now, limit - len(found), [*without, *known], self._lately(now))
            return found, more or len(found) >= limit
        started = time.monotonic()
        found = self._but(conn, now, limit, without, 0)
        if len(found) >= limit:
            return found, True
        ended = time.monotonic()
        self._rest_until = ended + min(LONGEST_REST_S, REST * (ended - started))
        self._left = {key: self._left.get(key, self._lately(now)) for key in without}
        self._from = now
        return found, False

    def _lately(self, now: int) -> int:
        """Since when what falls due has not been looked at."""
        return min(self._from, now) - LATELY_US

    @staticmethod
    def _but(conn: Connection, now: int, limit: int, without: Collection[Key], since: int) -> list[_Due]:
        return _due_but.read(conn, _Due, now, now, _listed(conn, without), since, limit) if limit > 0 else []

    def _of(
        self, conn: Connection, now: int, limit: int, known: Mapping[Key, int], wanted: Wanted
    ) -> tuple[list[_Due], bool]:
        """What endpoints have due of what was left: of one of them at least more than it has room for, or all."""
        most = min(limit, sum(limit if (room := wanted.room(key)) is None else room + 1 for key in known))
        found = _due_of.read(conn, _Due, now, now, _listed(conn, known), min(known.values()), most)
        more = len(found) >= most
        first = {row.key: row.next_attempt_at for row in reversed(found)}
        for key, at in known.items():
            if more:  # all that was due before the last one has been found
                self._left[key] = first.get(key, max(at, found[-1].next_attempt_at))
            else:
                del self._left[key]
        return found, more


class Chosen(NamedTuple):
    """The ids of due actions that nobody has leased, and when to ask again, as others may be due (None: none are)."""

    ids: list[str]
    again: int | None = None


def due_ids(conn: Connection, now: int, wanted: Wanted, looks: Looks) -> Chosen:
    """The actions to lease. Raises `Unreadable`."""
    without, done, rest = set(wanted.without), list[str](), looks.rest_us
    for _ in range(ROUNDS):
        limit = wanted.limit - len(done)
        if limit <= 0:
            return Chosen(done)
        if without:
            rows, more = looks.past(conn, now, limit, without, wanted)
        else:
            rows = _due.read(conn, _Due, now, now, limit)
            more = len(rows) >= limit
        found = defaultdict[Key, list[_Due]](list)
        for row in rows:
            found[row.key].append(row)
        rooms = {key: room for key in found if (room := wanted.room(key)) is not None}
        full = {key: room for key, room in rooms.items() if len(found[key]) > room}
        for key, room in full.items():
            looks.leave(key, found[key][room].next_attempt_at)
        if not (full and more):
            beyond = {row.id for key, room in full.items() for row in found[key][room:]}
            ids = [row.id for row in rows if row.id not in beyond]
            return Chosen([*done, *ids], now + rest if without and rest else None)
        for key, room in full.items():
            done += [row.id for row in found[key][:room]]
        without |= full.keys()
    return Chosen(done, now)


def next_due(conn: Connection, now: int) -> int | None:
    """When the next action falls due after a moment. Raises `Unreadable` if there are some that never do."""
    row = _next.run(conn, now).one()
    if isinstance(row.last, str | bytes) and (never := _never.run(conn).scalars().all()):
        raise Unreadable(dict.fromkeys(never, ("next_attempt_at",)))
    moment: int | None = row.first
    return moment


def _listed(conn: Connection, keys: Collection[Key]) -> Any:
    return listed(conn, [" ".join(key) for key in keys])
