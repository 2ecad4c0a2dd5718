"""Which account was merged into which, so that none is merged twice, in a circle, or into an erased one.

Kept as keyed hashes. Merges wait for one another, in all processes; they are rare. Unvouched ones (made with
a `track` key alone) are kept beside the others and never stand in their way.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from backbone.database import Database, among, upsert
from schemas.event import Event
from schemas.merging import merge_of
from services.ingest.identity.locks import lock_merges
from services.ingest.tables import erased, merges

MAX_STEPS = 32  # merges that are followed from one account; a longer chain counts as a circle

Known = dict[tuple[bytes, bool], tuple[bytes, bool, bool]]  # account, whether unvouched → into, lone, told
Edges = dict[tuple[bytes, bool], bytes]  # account, whether unvouched → into


class MergedAccounts:
    """Blocks: call it from a worker thread."""

    def __init__(self, db: Database, key: bytes) -> None:
        """`key`: the secret of this installation."""
        self._db = db
        self._key = blake2b(key, digest_size=32, person=b"ingest accounts").digest()

    def hash(self, account: str) -> bytes:
        """What is kept of an account's id."""
        return blake2b(account.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    def claim(self, connection: Connection, wanted: Sequence[Event]) -> set[int]:
        """The `id()`s of the merges of lone accounts that are to be appended: each account's first, until it
        is on the log."""
        asked: dict[tuple[bytes, bool], tuple[bytes, Event]] = {}
        for event in wanted:
            merge = merge_of(event)
            if merge is not None:
                key = (self.hash(merge.account), merge.unvouched)
                asked.setdefault(key, (self.hash(merge.into), event))
        known = _rows(connection, asked)
        if any(_to_note(known, key, into) for key, (into, _) in asked.items()):
            lock_merges(connection)
            known = _rows(connection, asked)
            edges = _edges(connection, [into for into, _ in asked.values()])
            for key, (into, _) in asked.items():
                if _to_note(known, key, into) and not _circle(edges, key[0], into, unvouched=key[1]):
                    known[key], edges[key] = (into, True, False), into
                    upsert(connection, merges, [_row(key, into, lone=True)], ["account", "unvouched"])
        return {id(event) for key, (into, event) in asked.items() if known.get(key) == (into, True, False)}

    def told(self, connection: Connection, events: Iterable[Event]) -> None:
        """Note that these merges are on the log."""
        rows = [
            {"one": self.hash(event.account or ""), "level": event.unvouched}
            for event in events
            if event.account
        ]
        if rows:
            these = (merges.c.account == bindparam("one"), merges.c.unvouched == bindparam("level"))
            connection.execute(update(merges).where(*these).values(told=True), rows)

    def admit(self, account: str, into: str) -> str | None:
        """Note a merge from outside. Returns why it is impossible, else None."""
        with self._db.write() as connection:
            lock_merges(connection)
            return self._admit(connection, self.hash(account), self.hash(into))

    def _admit(self, connection: Connection, account: bytes, into: bytes) -> str | None:
        key = (account, False)
        known = _rows(connection, [key]).get(key)
        if known is not None and not known[1] and known[0] != into:  # on the log, or on its way
            return "the account is merged into another one already"
        edges = _edges(connection, [into])
        if _circle(edges, account, into, unvouched=False):
            return "is, itself or through others, merged into this account"
        reached = [into, *(end for (_, unvouched), end in edges.items() if not unvouched)]
        if connection.execute(select(erased.c.account).where(erased.c.account.in_(reached))).first():
            return "is erased, or merged into an account that is"
        # Unvouched merges of either account give way.
        unvouched = merges.c.unvouched & merges.c.account.in_([account, into])
        connection.execute(delete(merges).where((merges.c.account == account) | unvouched))
        connection.execute(insert(merges).values(_row(key, into, lone=False)))
        return None

    def forget(self, connection: Connection, accounts: Iterable[str], now: int) -> None:
        """Forget erased accounts: they are merged into nothing, and nothing may be merged into them."""
        for one in map(self.hash, accounts):
            connection.execute(delete(merges).where(merges.c.account == one))
            connection.execute(delete(erased).where(erased.c.account == one))
            connection.execute(insert(erased).values(account=one, erased_at=now))


def _to_note(known: Known, key: tuple[bytes, bool], into: bytes) -> bool:
    """Whether a merge of a lone account must still be appended: no other merge of it is on the log, nor one
    of its vouched form."""
    if key[1] and (key[0], False) in known:
        return False
    before = known.get(key)
    return before is None or (before[0] != into and before[1] and not before[2])


def _row(key: tuple[bytes, bool], into: bytes, *, lone: bool) -> dict[str, Any]:
    return {"account": key[0], "unvouched": key[1], "into": into, "lone": lone, "told": False}


def _rows(connection: Connection, keys: Iterable[tuple[bytes, bool]]) -> Known:
    """The merges of these accounts."""
    query = select(merges).where(among(connection, merges.c.account, {account for account, _ in keys}))
    return {(row.account, row.unvouched): (row.into, row.lone, row.told) for row in connection.execute(query)}


def _edges(connection: Connection, start: Iterable[bytes]) -> Edges:
    """The merges that lead on from these accounts, `MAX_STEPS` far."""
    edges: Edges = {}
    next_ = set(start)
    for _ in range(MAX_STEPS):
        found = _rows(connection, [(account, False) for account in next_]) if next_ else {}
        next_ = {into for into, _, _ in found.values()} - {account for account, _ in edges}
        edges |= {key: into for key, (into, _, _) in found.items()}
    return edges


def _circle(edges: Edges, account: bytes, into: bytes, *, unvouched: bool) -> bool:
    """Whether a merge leads back to its own account, or further than anybody follows."""
    reached = {into}
    for _ in range(MAX_STEPS):
        if account in reached:
            return True
        steps = [(one, level) for one in reached for level in ((False, True) if unvouched else (False,))]
        reached = {edges[step] for step in steps if step in edges}
        if not reached:
            return False
    return True
