"""The outbox: Touchline's own events, written with the rows they tell about, relayed to the log afterwards."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, func, select

from backbone.log import EVENTS, Entry, Log, partition_for
from schemas.event import FORGOTTEN, Event, encode, from_microseconds
from services.actions.plays.model import SOURCE, ControlRecord, OwnEvent, event_id
from services.actions.storage.sql import Sql
from services.actions.tables import outbox, plays

APPEND_TIMEOUT_S = 30.0
_emit = Sql("INSERT INTO actions.actions_outbox (partition, account, value) VALUES (?, ?, ?)")


class OutboxRow(msgspec.Struct, frozen=True):
    """A row of the outbox."""

    seq: int
    partition: int
    account: str
    value: bytes


def emit(conn: Connection, events: Sequence[OwnEvent], partitions: int) -> None:
    """Put events into the outbox, in order; `partitions` of the log decide which worker relays them."""
    if not events:
        return
    rows = [
        (partition_for(event.account, partitions), event.account, encode(as_event(event))) for event in events
    ]
    _emit.insert(conn, rows)


def forgotten(conn: Connection, partition: int, triggers: Sequence[str], at: int) -> None:
    """Tell rules that the plays of these triggers are no longer kept. `at`: the daily tick."""
    name = event_id("history.forgotten", str(partition), *triggers)
    tell(conn, partition, ControlRecord(name, FORGOTTEN, at, {"triggers": list(triggers)}))


def tell(conn: Connection, partition: int, one: ControlRecord) -> None:
    """Put a control record for the partition's log into the outbox."""
    event = Event(id=one.id, source=SOURCE, type=one.type, time=from_microseconds(one.time), data=one.data)
    _emit.insert(conn, [(partition, "", encode(event))])


def place_of(conn: Connection, play: str) -> int | None:
    """The offset at which the trigger of a play was decided, for events about the play; None: unknown."""
    found: int | None = conn.scalar(select(plays.c.place).where(plays.c.id == play))
    return found


def as_event(event: OwnEvent) -> Event:
    """The event as it is appended to the log."""
    return Event(
        id=event.id,
        source=SOURCE,
        type=event.type,
        time=from_microseconds(event.time),
        account=event.account,
        contact=event.contact,
        data=event.data,
    )


def waiting(conn: Connection, partitions: Sequence[int], limit: int) -> list[OutboxRow]:
    """The oldest rows of these partitions."""
    query = select(outbox).where(outbox.c.partition.in_(partitions)).order_by(outbox.c.seq).limit(limit)
    return [OutboxRow(*row) for row in conn.execute(query)]


def relayed(conn: Connection, rows: Sequence[OutboxRow]) -> None:
    """Delete these rows: the log has them."""
    for start in range(0, len(rows), 500):
        part = [row.seq for row in rows[start : start + 500]]
        conn.execute(delete(outbox).where(outbox.c.seq.in_(part)))


def count(conn: Connection) -> int:
    """How many events wait in the outbox."""
    return conn.scalar(select(func.count()).select_from(outbox)) or 0


def append(log: Log, rows: Sequence[OutboxRow]) -> None:
    """Write rows to the log and wait until they are durable. Raises `LogUnavailable`."""
    entries = [
        Entry(key=row.account, value=row.value)
        if row.account
        else Entry(partition=row.partition, value=row.value)
        for row in rows
    ]
    log.append(EVENTS, entries).result(APPEND_TIMEOUT_S)
