"""What the rules worker reads and writes: account rows, triggers, the outbox. SQL only; no decisions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select, tuple_, update

from backbone.database import insert_new
from backbone.exports.erased import Place, note_accounts, note_rows
from backbone.log import EVENTS
from services.rules.tables import (
    account_rows,
    accounts,
    erased,
    export_erased,
    heartbeats,
    listings,
    outbox,
    partitions,
    revisions,
    triggers,
)

ROWS = 2_000  # account rows in one statement
CHUNK = 500  # bound parameters of one IN list; SQLite's own limit is far above


class AccountRow(NamedTuple):
    """An account's state, encoded, the moment it next falls due (microseconds), and where it was merged into."""

    account: str
    partition: int
    seen_at: int
    due_at: int | None
    merged_into: str | None
    state: bytes
    earliest: int
    newest: int
    profile_hash: int


class ReadAccount(NamedTuple):
    """An account, its partition and its encoded state, to be read."""

    account: str
    partition: int
    state: bytes


class Outgoing(NamedTuple):
    """A record of the outbox: its place there, the clock then, where it goes, and its value."""

    partition: int
    offset: int
    n: int
    at: int
    topic: str
    account: str
    value: bytes
    target: int | None = None  # a partition, of a record of no account


class TriggerRow(NamedTuple):
    """A trigger as stored; `doc` is its JSON."""

    id: str
    rule: str
    account: str
    contact: str | None
    at: int
    partition: int
    doc: bytes
    tier: str
    key_digest: bytes | None
    alone: bool


def key_digest(key: str | None) -> bytes | None:
    """What triggers of this key are found by."""
    return None if key is None else blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


_columns = "account, partition, seen_at, due_at, merged_into, state, earliest, newest, profile_hash"
_changes = (
    "ON CONFLICT (account) DO UPDATE SET due_at = excluded.due_at, merged_into = excluded.merged_into, "
    "state = excluded.state, earliest = excluded.earliest, newest = excluded.newest, "
    "profile_hash = excluded.profile_hash, "
    "shown = rules_accounts.shown AND rules_accounts.profile_hash = excluded.profile_hash"
)
_account_upsert = {
    "sqlite": f"INSERT INTO rules_accounts ({_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) {_changes}",  # noqa: S608
    "postgresql": (  # arrays in binary hold all rows: a fifth of the client time of one row at a time
        f"INSERT INTO rules.rules_accounts ({_columns}) SELECT * FROM unnest(%b::text[], %b::int[], "  # noqa: S608
        "%b::bigint[], %b::bigint[], %b::text[], %b::bytea[], %b::bigint[], %b::bigint[], %b::bigint[]) "
        f"{_changes}"
    ),
}


def save_accounts(conn: Connection, rows: Sequence[AccountRow]) -> None:
    """Write the touched accounts (each once), straight through the driver: this is the hot path of durability."""
    if conn.dialect.name == "sqlite":
        if rows:
            conn.exec_driver_sql(_account_upsert["sqlite"], list(rows))
        return
    for start in range(0, len(rows), ROWS):
        columns = zip(*rows[start : start + ROWS], strict=True)
        conn.exec_driver_sql(_account_upsert["postgresql"], tuple(list(column) for column in columns))


def erase_accounts(conn: Connection, partition: int, places: Mapping[str, int]) -> None:
    """Erasure of accounts, by name, with the offsets of their erasures: nothing of them stays in our tables but the
    ids of triggers."""
    for part in chunked(sorted(places)):
        known = conn.scalars(select(accounts.c.account).where(accounts.c.account.in_(part)))
        note_accounts(conn, export_erased, [Place(partition, places[name]) for name in known])
        conn.execute(delete(accounts).where(accounts.c.account.in_(part)))
        conn.execute(delete(account_rows).where(account_rows.c.account.in_(part)))
        conn.execute(delete(listings).where(listings.c.account.in_(part)))
        _erase_triggers(conn, triggers.c.account.in_(part))
        insert_new(conn, erased, [{"account": _digest(name)} for name in part], ["account"])


def was_erased(conn: Connection, name: str) -> bool:
    """Whether there was an account of this name that was erased, and there is none now."""
    gone = conn.scalar(select(erased.c.account).where(erased.c.account == _digest(name)))
    there = select(accounts.c.account).where(accounts.c.account == name)
    return gone is not None and conn.scalar(there) is None


def _digest(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def erase_contacts(conn: Connection, contacts: Sequence[tuple[str, str]]) -> None:
    """Erasure of (account, contact): the triggers that show them go."""
    for account, contact in contacts:
        conn.execute(delete(account_rows).where(account_rows.c.account == account))
        conn.execute(update(accounts).where(accounts.c.account == account).values(shown=False))
        _erase_triggers(conn, (triggers.c.account == account) & (triggers.c.contact == contact))


def _erase_triggers(conn: Connection, which: ColumnElement[bool]) -> None:
    note_rows(conn, export_erased, "triggers", select(triggers.c.id).where(which))
    conn.execute(delete(triggers).where(which))


def load_accounts(conn: Connection, partition: int, names: Sequence[str]) -> dict[str, bytes]:
    """The encoded states of the named accounts, as far as the partition has any: another's are not ours to write."""
    found: dict[str, bytes] = {}
    for part in chunked(names):
        if conn.dialect.name == "postgresql":  # one text, whatever the number: prepared once
            rows = conn.exec_driver_sql(_LOAD, (part, partition))
        else:
            rows = conn.execute(
                select(accounts.c.account, accounts.c.state).where(
                    accounts.c.account.in_(part), accounts.c.partition == partition
                )
            )
        found.update((name, state) for name, state in rows)
    return found


_LOAD = "SELECT account, state FROM rules.rules_accounts WHERE account = ANY(%b) AND partition = %b"


def dues(conn: Connection, partition: int) -> list[tuple[int, str]]:
    """Every account of the partition that waits for a moment: (due, account)."""
    query = select(accounts.c.due_at, accounts.c.account).where(
        accounts.c.partition == partition, accounts.c.due_at.is_not(None)
    )
    return [(row.due_at, row.account) for row in conn.execute(query)]


def open_accounts(conn: Connection, after: str, limit: int) -> list[ReadAccount]:
    """The next accounts by name that are not closed."""
    query = select(accounts.c.account, accounts.c.partition, accounts.c.state).where(
        accounts.c.account > after, accounts.c.merged_into.is_(None)
    )
    return [ReadAccount(*row) for row in conn.execute(query.order_by(accounts.c.account).limit(limit))]


def named_accounts(conn: Connection, names: Sequence[str]) -> list[ReadAccount]:
    """The accounts of these names, closed ones too, of whatever partition."""
    columns = select(accounts.c.account, accounts.c.partition, accounts.c.state)
    return [
        ReadAccount(*row)
        for part in chunked(dict.fromkeys(names))
        for row in conn.execute(columns.where(accounts.c.account.in_(part)))
    ]


def account_names(conn: Connection, partition: int) -> list[str]:
    """The accounts of a partition."""
    return list(conn.scalars(select(accounts.c.account).where(accounts.c.partition == partition)))


def save_triggers(conn: Connection, rows: Sequence[TriggerRow]) -> None:
    """Record triggers; one that is there already (the same id) stays as it is."""
    if rows:
        mark = "?" if conn.dialect.name == "sqlite" else "%s"
        table = "rules_triggers" if conn.dialect.name == "sqlite" else "rules.rules_triggers"
        conn.exec_driver_sql(
            f"INSERT INTO {table} (id, rule, account, contact, at, partition, doc, tier, key_digest, alone, "  # noqa: S608
            f"relayed) VALUES ({', '.join([mark] * 10)}, false) ON CONFLICT (id) DO NOTHING",
            list(rows),
        )


def unrelayed(conn: Connection, partition: int, limit: int) -> list[bytes]:
    """The outbox of a partition in order: triggers as JSON."""
    query = (
        select(triggers.c.doc)
        .where(triggers.c.partition == partition, triggers.c.relayed.is_(False))
        .order_by(triggers.c.seq)
        .limit(limit)
    )
    return list(conn.scalars(query))


def mark_relayed(conn: Connection, ids: Sequence[str]) -> None:
    """These triggers are on the log."""
    if not ids:
        return
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql(
            "UPDATE rules.rules_triggers SET relayed = true WHERE id = ANY(%b)", (list(ids),)
        )
    else:
        conn.exec_driver_sql("UPDATE rules_triggers SET relayed = true WHERE id = ?", [(id_,) for id_ in ids])


def forget_alone(conn: Connection, partition: int, upto: int, limit: int) -> int:
    """Old triggers of which no play came leave, at most so many; how many did."""
    mine = (
        (triggers.c.partition == partition) & triggers.c.alone & (triggers.c.at <= upto) & triggers.c.relayed
    )
    return conn.execute(delete(triggers).where(triggers.c.seq.in_(_few(mine, limit)))).rowcount


def old_alone(conn: Connection, partition: int, upto: int) -> bool:
    """Whether there are such that are not known to be on the log yet: they leave once they are."""
    mine = (triggers.c.partition == partition) & triggers.c.alone & (triggers.c.at <= upto)
    return conn.scalar(select(triggers.c.seq).where(mine).limit(1)) is not None


def _few(mine: ColumnElement[bool], limit: int) -> Select[tuple[int]]:
    return select(triggers.c.seq).where(mine).order_by(triggers.c.at, triggers.c.seq).limit(limit)


def forget_triggers(conn: Connection, partition: int, ids: Sequence[str]) -> None:
    """These leave with their plays."""
    for part in chunked(ids):
        conn.execute(delete(triggers).where(triggers.c.partition == partition, triggers.c.id.in_(part)))


def set_swept(conn: Connection, partition: int, tick: int) -> None:
    """All that was old at this tick has left."""
    conn.execute(update(partitions).where(partitions.c.partition == partition).values(swept=tick))


def count_unrelayed(conn: Connection) -> int:
    """How many triggers are not known to be on the log."""
    return conn.scalar(select(func.count()).select_from(triggers).where(triggers.c.relayed.is_(False))) or 0


def save_outgoing(conn: Connection, rows: Sequence[Outgoing]) -> None:
    """Put records into the outbox."""
    if rows:
        conn.execute(insert(outbox), [row._asdict() for row in rows])


def outgoing(conn: Connection, partition: int, limit: int) -> list[Outgoing]:
    """The outbox of a partition, in order."""
    query = (
        select(*(outbox.c[name] for name in Outgoing._fields))
        .where(outbox.c.partition == partition)
        .order_by(outbox.c.offset, outbox.c.n)
        .limit(limit)
    )
    return [Outgoing(*row) for row in conn.execute(query)]


def drop_outgoing(conn: Connection, partition: int, places: Sequence[tuple[int, int]]) -> None:
    """The log has what the outbox held at these places (offset, n)."""
    for start in range(0, len(places), CHUNK):
        part = places[start : start + CHUNK]
        conn.execute(
            delete(outbox).where(
                outbox.c.partition == partition, tuple_(outbox.c.offset, outbox.c.n).in_(part)
            )
        )


def oldest_outgoing(conn: Connection) -> dict[int, int]:
    """By partition, the clock at the first record for another account that is not known to be on the log."""
    query = (
        select(outbox.c.partition, func.min(outbox.c.at))
        .where(outbox.c.topic == EVENTS, outbox.c.target.is_(None))
        .group_by(outbox.c.partition)
    )
    return {row[0]: row[1] for row in conn.execute(query)}


def count_outgoing(conn: Connection) -> int:
    """How many records of the outbox are not known to be on the log."""
    return conn.scalar(select(func.count()).select_from(outbox)) or 0


def save_heartbeats(conn: Connection, partition: int, changed: Mapping[str, bytes | None]) -> None:
    """Write the heartbeats of a partition that have changed, by clause; None: the clause is gone."""
    for part in chunked(changed):
        mine = (heartbeats.c.partition == partition) & heartbeats.c.clause.in_(part)
        conn.execute(delete(heartbeats).where(mine))
    rows = [
        {"partition": partition, "clause": key, "state": state}
        for key, state in changed.items()
        if state is not None
    ]
    if rows:
        conn.execute(insert(heartbeats), rows)


def load_heartbeats(conn: Connection, partition: int | None = None) -> list[tuple[int, bytes]]:
    """The heartbeats of a partition, or of all: (partition, heartbeat)."""
    query = select(heartbeats.c.partition, heartbeats.c.state).order_by(heartbeats.c.clause)
    mine = query if partition is None else query.where(heartbeats.c.partition == partition)
    return [(row.partition, row.state) for row in conn.execute(mine)]


def last_revision(conn: Connection) -> int:
    """The newest revision saved, 0 if none."""
    return conn.scalar(select(func.max(revisions.c.revision))) or 0


def chunked(values: Iterable[str]) -> Iterator[list[str]]:
    """Parts of at most CHUNK values."""
    values = list(values)
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
