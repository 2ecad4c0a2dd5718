"""What is known of Segment's users, kept in the database.

A request's calls are placed in one transaction; requests that come at the same time share one. Calls of the
same user wait for each other, in all processes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from backbone.clock import Clock
from backbone.database import Database, among, insert_all, upsert
from schemas.event import Event, microseconds
from services.ingest.decoding.validation import ValidEvent
from services.ingest.group_commit import GroupCommit
from services.ingest.identity.book import IdentityBook, Known, Membership, Row
from services.ingest.identity.erasure import erase
from services.ingest.identity.locks import lock_users
from services.ingest.identity.merged_accounts import MergedAccounts
from services.ingest.identity.placement import IdentityCall, Placement, place
from services.ingest.identity.pruning import Pruning
from services.ingest.tables import calls, group_calls, ties, users

MAX_CALLS = 1_000  # of requests that share a transaction
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class IdentityStore:
    """Blocks: call it from a worker thread."""

    def __init__(self, db: Database, clock: Clock, merges: MergedAccounts) -> None:
        self._db = db
        self._clock = clock
        self._merges = merges
        self._pruning = Pruning(db, clock)
        self._together = GroupCommit(self._place, MAX_CALLS)

    def place(self, said: Sequence[IdentityCall]) -> Sequence[Placement]:
        """Place each call. Of the merges they ask for, only the possible ones are left."""
        return self._together.run(said)

    def _place(self, said: Sequence[IdentityCall]) -> list[Placement]:
        names = {user for one in said for user in (one.known, one.anonymous) if user}
        placed = None
        while placed is None:
            with self._db.write() as connection:
                lock_users(connection, names)
                book, these = _load(connection, said)
                if these <= names or not _speaks_for_others(said):
                    placed = place(said, book)
                    _save(connection, book, self._clock.now())
                    _choose(connection, placed, self._merges)
            names = these
        self._pruning.after(len(book.new_calls))
        return placed

    def told(self, merges: Sequence[Event]) -> None:
        """Note that these merges are on the log and need not be appended again."""
        with self._db.write() as connection:
            self._merges.told(connection, merges)
            _told(connection, {_key(merge) for merge in merges})

    def erase(self, erasures: Sequence[ValidEvent]) -> None:
        """Forget what these erasures name."""
        with self._db.write() as connection:
            erase(connection, erasures)


def _choose(connection: Connection, placed: Sequence[Placement], merges: MergedAccounts) -> None:
    """Leave only the merges that are possible. The others are not asked for again."""
    wanted = [merge for one in placed for merge in one.merges]
    if not wanted:
        return
    granted = merges.claim(connection, wanted)
    for one in placed:
        one.merges = [merge for merge in one.merges if id(merge) in granted]
    _told(
        connection, {_key(merge) for merge in wanted} - {_key(each) for one in placed for each in one.merges}
    )


def _told(connection: Connection, accounts: set[Known]) -> None:
    if accounts:
        these = (ties.c.anonymous == bindparam("one"), ties.c.unvouched == bindparam("level"))
        rows = [{"one": account, "level": level} for account, level in accounts]
        connection.execute(update(ties).where(*these).values(told=True), rows)


def _key(merge: Event) -> Known:
    return merge.account or "", merge.unvouched


def _speaks_for_others(said: Sequence[IdentityCall]) -> bool:
    """Whether a call with an anonymous id says something that is kept of the user behind it."""
    return any(one.known is None and (one.traits is not None or one.group is not None) for one in said)


def _load(connection: Connection, said: Sequence[IdentityCall]) -> tuple[IdentityBook, set[str]]:
    """Load what is known of the users of these calls. Earlier calls and ties say who these users are."""
    book = IdentityBook()
    names = [one.name for one in said if one.name is not None]
    if names:
        columns = (calls.c.name, calls.c.account, calls.c.contact, calls.c.time, calls.c.follows)
        for name, *rest in connection.execute(select(*columns).where(among(connection, calls.c.name, names))):
            book.calls[name] = Membership(*rest)
    anonymous = {one.anonymous for one in said if one.anonymous}
    if anonymous:
        columns = (ties.c.anonymous, ties.c.unvouched, ties.c.time, ties.c.user, ties.c.told)
        query = select(*columns).where(among(connection, ties.c.anonymous, anonymous)).order_by(ties.c.time)
        for who, unvouched, time, user, told in connection.execute(query):
            book.ties.setdefault((who, unvouched), []).append((time, user))
            if not told:
                book.untold.add((who, unvouched))
    these = _users(said, book)
    if these:
        _load_users(connection, these, book, traits=any(_asks_for_traits(one, book) for one in said))
    return book, these


def _load_users(connection: Connection, these: set[str], book: IdentityBook, *, traits: bool) -> None:
    history = (group_calls.c.user, group_calls.c.unvouched, group_calls.c.time, group_calls.c.group)
    query = select(*history).where(among(connection, group_calls.c.user, these)).order_by(group_calls.c.time)
    for user, unvouched, time, group in connection.execute(query):
        book.groups.setdefault((user, unvouched), []).append((time, group))
    columns = (users.c.user, users.c.unvouched, users.c.lone, *((users.c.traits,) if traits else ()))
    for user, unvouched, lone, *known in connection.execute(
        select(*columns).where(among(connection, users.c.user, these))
    ):
        if lone:
            book.lone.add((user, unvouched))
        if known and known[0] is not None:
            book.traits[user, unvouched] = _decode(known[0])


def _users(said: Sequence[IdentityCall], book: IdentityBook) -> set[str]:
    users = {user for one in said for user in (one.known, one.anonymous) if user}
    for one in said:
        if one.anonymous is not None:
            before = book.calls.get(one.name) if one.name is not None else None
            time = microseconds(one.event.time) if one.event.time is not None else 0
            tied = book.person(one.anonymous, time if before is None else before.time, one.unvouched)
            users |= {tied} if tied else set()
    return users


def _asks_for_traits(one: IdentityCall, book: IdentityBook) -> bool:
    """Whether a call may say, pass on or take over what is known of its user."""
    if one.traits is not None or one.group is not None:
        return True
    both = one.known is not None and one.anonymous is not None and one.known != one.anonymous
    return both and not book.ties.get((one.anonymous or "", one.unvouched))


def _save(connection: Connection, book: IdentityBook, now: int) -> None:
    _drop(connection, group_calls, group_calls.c.user, book.gone_groups)
    _drop(connection, ties, ties.c.anonymous, book.gone_ties)
    rows = [
        {"user": user, "unvouched": level, "time": time, "group": group}
        for (user, level, time), group in book.new_groups.items()
    ]
    upsert(connection, group_calls, rows, ["user", "unvouched", "time"])
    rows = [
        {
            "anonymous": one,
            "unvouched": level,
            "time": time,
            "user": user,
            "told": (one, level) not in book.untold,
        }
        for (one, level, time), user in book.new_ties.items()
    ]
    upsert(connection, ties, rows, ["anonymous", "unvouched", "time"])
    for told in (False, True):  # traits that were not loaded stay as they are
        rows = [_row_of_user(key, book) for key in book.new_users if (key in book.traits) == told]
        upsert(connection, users, rows, ["user", "unvouched"])
    if book.new_calls:
        insert_all(connection, calls, list(_rows_of_calls(book, now)))


def _row_of_user(key: Known, book: IdentityBook) -> dict[str, Any]:
    row = {"user": key[0], "unvouched": key[1], "lone": key in book.lone}
    return row | ({"traits": _encode(book.traits[key])} if key in book.traits else {})


def _rows_of_calls(book: IdentityBook, now: int) -> Iterable[dict[str, Any]]:
    for name, user in book.new_calls.items():
        where = book.calls[name]
        yield {
            "name": name,
            "user": user,
            "account": where.account,
            "contact": where.contact,
            "time": where.time,
            "follows": where.follows,
            "received_at": now,
        }


def _drop(connection: Connection, table: Any, who: Any, gone: set[Row]) -> None:
    if gone:
        these = (
            who == bindparam("who"),
            table.c.unvouched == bindparam("level"),
            table.c.time == bindparam("at"),
        )
        rows = [{"who": user, "level": level, "at": time} for user, level, time in gone]
        connection.execute(delete(table).where(*these), rows)
