"""The directory: by what accounts can be found, kept in the database in the order of the log.

The worker of a partition alone writes what stands at its accounts (`follow`). Keys are keyed hashes, so that no address
is kept. External ids and domains are kept beside theirs, since an update may add to them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from backbone.database import among, insert_all, upsert
from schemas.event import MERGED, Event
from schemas.forwarding import ABSORBED, ERASED, Erased, absorbed_of, erased_of
from schemas.merging import merge_of
from schemas.profile import contact_of
from services.ingest.identity.account_entries import LEARNED, AccountEntries, Row, apply, entries_of, rows_of
from services.ingest.identity.locks import lock_placing
from services.ingest.identity.lookup import MAX_STEPS, Entry, Lookup
from services.ingest.tables import (
    closed,
    directory,
    followed,
    known_accounts,
    placed,
    unmatched,
    unmatched_keys,
)

FOLLOWED = LEARNED | {MERGED, ERASED}  # the types that the directory reads whole
CHUNK = 5_000  # keys in one statement


class Directory:
    """Blocks: call it from a worker thread."""

    def __init__(self, key: bytes) -> None:
        """`key`: the secret of this installation."""
        self._key = blake2b(key, digest_size=32, person=b"ingest directory").digest()

    def key(self, kind: str, system: str, value: str) -> bytes:
        """What is kept of a value: 16 bytes."""
        made = blake2b(key=self._key, digest_size=16)
        for part in (kind, system, value):
            raw = part.encode("utf-8", "surrogatepass")
            made.update(len(raw).to_bytes(4, "big") + raw)
        return made.digest()

    def id_key(self, account: str) -> bytes:
        """The key of an account's id."""
        return self.key("id", "", account)

    def address_key(self, normal_address: str) -> bytes:
        """The key of an address in its normal form."""
        return self.key("email", "", normal_address)

    def lookup(self, connection: Connection, keys: Collection[bytes]) -> Lookup:
        """What stands under these keys."""
        entries: dict[bytes, list[Entry]] = defaultdict(list)
        columns = (directory.c.key, directory.c.account, directory.c.kind, directory.c.name)
        for some in _chunks(keys):
            for key, *rest in connection.execute(
                select(*columns).where(among(connection, directory.c.key, some))
            ):
                entries[key].append(Entry(*rest))
        ids = {self.id_key(one.account) for found in entries.values() for one in found}
        known = frozenset(_known(connection, keys))
        return Lookup(self.key, dict(entries), known, _merges(connection, ids))

    def is_closed(self, connection: Connection, account: str) -> bool:
        """Whether the account was merged into another one."""
        key = self.id_key(account)
        return key in _merges(connection, {key})

    # -- following the log, in the worker

    def follow(self, connection: Connection, new: Iterable[str], events: Sequence[Event], now: int) -> None:
        """Follow a batch: accounts that were named for the first time, and events of `FOLLOWED`, in log order.

        An account that is erased in the batch is in `new` only if it was named again afterwards.
        """
        events = self._not_seen(connection, list(self._erased_there(connection, events)))
        names = {one.account or "" for one in events if one.type in LEARNED}
        before = self._load(connection, names)
        after = {name: msgspec.structs.replace(found) for name, found in before.items()}
        for found in after.values():
            found.external_ids, found.domains = dict(found.external_ids), list(found.domains)
            found.contacts = dict(found.contacts)
        gone: set[tuple[str, str | None]] = set()  # erased: account, contact (None: all of it)
        for event in events:
            account = event.account or ""
            if event.type in LEARNED:
                apply(after[account], event, self.address_key)
            if event.type == "account.deleted":
                gone.add((account, None))
            elif event.type == "contact.deleted" and (contact := contact_of(event)) is not None:
                gone.add((account, contact))
        had = {name: set(rows_of(found, self.key)) for name, found in before.items()}
        has = {name: set(rows_of(found, self.key)) for name, found in after.items()}
        erased = {account for account, contact in gone if contact is None}
        ids = {self.id_key(name) for name in new}
        ids -= set(_known(connection, ids - {self.id_key(name) for name in erased}))
        keys = {row[2] for name in names for row in had[name] ^ has[name]} - {b""}
        keys |= ids | self._keys_of_merges(connection, events)
        lock_placing(connection, (), keys)
        self._forget(connection, gone, had)
        self._save(connection, had, has)
        upsert(connection, known_accounts, [{"account": one} for one in sorted(ids)], ["account"])
        self._follow_merges(connection, events)
        self._remember(connection, events, now)
        wake(connection, keys)

    def _not_seen(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """The events without those that were followed before. An erasure counts every time."""
        told: dict[bytes, bytes] = {}  # names to accounts
        query = select(followed.c.name, followed.c.account)
        for some in _chunks({self._name(one) for one in events}):
            rows = connection.execute(query.where(among(connection, followed.c.name, some)))
            told.update((name, account) for name, account in rows)
        fresh = []
        for event in events:
            name, account = self._name(event), self.id_key(event.account or "")
            if event.type == "account.deleted":
                told = {one: whose for one, whose in told.items() if whose != account}
            elif name in told:
                continue
            else:
                told[name] = account
            fresh.append(event)
        return fresh

    def _erased_there(self, connection: Connection, events: Iterable[Event]) -> Iterable[Event]:
        """The events, an `ERASED` as the erasure that it is, where the account is closed in favour of that one."""
        merges: dict[tuple[bytes, bytes], bool] = {}
        for event in events:
            account = self.id_key(event.account or "")
            if event.type == MERGED and (merge := merge_of(event)) and not merge.unvouched:
                merges[account, self.id_key(merge.into)] = merge.lone
            if event.type != ERASED:
                yield event
                continue
            what = erased_of(event)
            into = b"" if what is None else self.id_key(what.into)
            lone = merges.get((account, into))
            if lone is None:
                query = select(closed.c.lone).where(closed.c.account == account, closed.c.into == into)
                lone = connection.execute(query.where(~closed.c.taken_in)).scalar()
            if what is not None and lone is not None:
                yield _as_erasure(event, what, lone=lone)

    def _name(self, event: Event) -> bytes:
        return self.key("event", event.account or "", f"{len(event.source)}:{event.source}{event.id}")

    def _remember(self, connection: Connection, events: Sequence[Event], now: int) -> None:
        rows: dict[bytes, dict[str, Any]] = {}
        for event in events:
            account = self.id_key(event.account or "")
            if event.type == "account.deleted":
                rows = {name: row for name, row in rows.items() if row["account"] != account}
            else:
                name = self._name(event)
                rows[name] = {"name": name, "account": account, "at": now}
        upsert(connection, followed, list(rows.values()), ["name"])

    def _load(self, connection: Connection, names: Collection[str]) -> dict[str, AccountEntries]:
        rows: dict[str, list[Row]] = {name: [] for name in names}
        query = select(
            directory.c.account, directory.c.kind, directory.c.name, directory.c.key, directory.c.text
        )
        for some in _chunks(names):
            for account, *row in connection.execute(
                query.where(among(connection, directory.c.account, some))
            ):
                rows[account].append((row[0], row[1], row[2], row[3]))
        return {name: entries_of(iter(sorted(found, key=str))) for name, found in rows.items()}

    def _save(self, connection: Connection, had: Mapping[str, set[Row]], has: Mapping[str, set[Row]]) -> None:
        gone = [_row(name, row) for name, rows in had.items() for row in rows - has[name]]
        new = [_row(name, row) for name, rows in has.items() for row in rows - had[name]]
        if gone:
            these = [
                directory.c[name] == bindparam(f"b_{name}") for name in ("account", "kind", "name", "key")
            ]
            rows = [{f"b_{name}": row[name] for name in ("account", "kind", "name", "key")} for row in gone]
            connection.execute(delete(directory).where(*these), rows)
        insert_all(connection, directory, new)

    # -- erasure

    def _forget(
        self, connection: Connection, gone: Iterable[tuple[str, str | None]], had: Mapping[str, set[Row]]
    ) -> None:
        """Forget what else is kept of erased accounts and contacts, events that asked for them included."""
        for account, contact in gone:
            of_it = {row[2] for row in had[account] if contact is None or row[:2] == ("email", contact)} - {
                b""
            }
            if contact is None:
                mine = self.id_key(account)
                of_it.add(mine)
                connection.execute(delete(known_accounts).where(known_accounts.c.account == mine))
                connection.execute(delete(followed).where(followed.c.account == mine))
                connection.execute(delete(placed).where(placed.c.account == account))
            asked = select(unmatched_keys.c.event).where(among(connection, unmatched_keys.c.key, of_it))
            events = connection.execute(asked).scalars().all()
            drop(connection, events)

    # -- merges

    def _keys_of_merges(self, connection: Connection, events: Iterable[Event]) -> set[bytes]:
        """The keys of accounts that were merged: what fitted both of them fits one now."""
        told = (absorbed_of(one) for one in events if one.type == ABSORBED)
        names = {one.account for one in told if one is not None}
        names |= {one.account or "" for one in events if one.type == MERGED}
        query = select(directory.c.key).where(
            among(connection, directory.c.account, names), directory.c.key != b""
        )
        return set(connection.execute(query).scalars()) if names else set()

    def _follow_merges(self, connection: Connection, events: Iterable[Event]) -> None:
        for event in events:
            account = self.id_key(event.account or "")
            if event.type == MERGED and (merge := merge_of(event)) and not merge.unvouched:
                self._close(connection, account, self.id_key(merge.into), taken_in=False, lone=merge.lone)
            elif event.type == ABSORBED and (absorbed := absorbed_of(event)) and not absorbed.unvouched:
                self._close(connection, self.id_key(absorbed.account), account, taken_in=True, lone=False)
            elif event.type == "account.deleted":
                # each in its own partition: what the others hold of these merges goes when they read of the erasure
                mine = or_(
                    and_(closed.c.account == account, ~closed.c.taken_in),
                    and_(closed.c.into == account, closed.c.taken_in),
                )
                connection.execute(delete(closed).where(mine))

    def _close(
        self, connection: Connection, account: bytes, into: bytes, *, taken_in: bool, lone: bool
    ) -> None:
        row = {"account": account, "into": into, "taken_in": taken_in, "lone": lone}
        upsert(connection, closed, [row], ["account", "into", "taken_in"])


def _as_erasure(event: Event, what: Erased, *, lone: bool) -> Event:
    """What an `ERASED` does to the closed account that it comes to: the erasure of it, or of a person there."""
    if what.contact is None or lone:
        return msgspec.structs.replace(event, type="account.deleted", data=None)
    return msgspec.structs.replace(event, type="contact.deleted", contact=what.contact, data=None)


def wake(connection: Connection, keys: Collection[bytes]) -> None:
    """Have the events looked at again that ask for one of these keys."""
    if not keys or connection.execute(select(unmatched_keys.c.key).limit(1)).first() is None:
        return
    for some in _chunks(keys):
        asking = select(unmatched_keys.c.event).where(among(connection, unmatched_keys.c.key, some))
        connection.execute(update(unmatched).where(unmatched.c.seq.in_(asking)).values(due=True))


def drop(connection: Connection, events: Collection[int]) -> None:
    """Delete parked events, by `seq`."""
    for some in _chunks(events):
        connection.execute(delete(unmatched_keys).where(among(connection, unmatched_keys.c.event, some)))
        connection.execute(delete(unmatched).where(among(connection, unmatched.c.seq, some)))


def _known(connection: Connection, keys: Collection[bytes]) -> Iterable[bytes]:
    for some in _chunks(keys):
        query = select(known_accounts.c.account).where(among(connection, known_accounts.c.account, some))
        yield from connection.execute(query).scalars()


def _merges(connection: Connection, ids: set[bytes]) -> dict[bytes, bytes]:
    """The merges in force that lead on from these accounts."""
    taken = closed.alias()
    both = and_(taken.c.account == closed.c.account, taken.c.into == closed.c.into, taken.c.taken_in)
    query = select(closed.c.account, closed.c.into).join(taken, both).where(~closed.c.taken_in)
    into: dict[bytes, bytes] = {}
    for _ in range(MAX_STEPS):
        found: dict[bytes, bytes] = {}
        for some in _chunks(ids):
            rows = connection.execute(
                query.where(among(connection, closed.c.account, some)).order_by(closed.c.into)
            )
            found.update((account, end) for account, end in rows)
        ids = set(found.values()) - into.keys()
        into |= found
        if not ids:
            break
    return into


def _row(account: str, row: Row) -> dict[str, Any]:
    kind, name, key, text = row
    return {"account": account, "kind": kind, "name": name, "key": key, "text": text}


def _chunks(values: Collection[Any]) -> Iterable[list[Any]]:
    ordered = list(values)
    return (ordered[at : at + CHUNK] for at in range(0, len(ordered), CHUNK))
