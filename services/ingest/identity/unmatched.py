"""Events whose account nobody knows: parked, and sent on once somebody does.

The worker of an event's partition looks at it when something that it asks for has changed (`due`). Where it goes is
stored before it is appended, and it is deleted afterwards: so a kill in between sends it again to the same accounts,
where the log's readers know it by its id.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import uuid_utils
from sqlalchemy import Connection, Row, Select, func, insert, select, update

from backbone.audit import AuditTrail
from backbone.clock import Clock
from backbone.database import Database, among, upsert
from backbone.errors import Invalid, LogUnavailable, NotFound, StateConflict
from backbone.failpoint import hit
from backbone.log import EVENTS, Entry, Log
from schemas.addresses import BadAddress, normal, valid_address
from schemas.domains import BadDomain, domain_of, valid_domain
from schemas.event import DAY_US, Event, encode
from schemas.external_ids import valid_external_id
from services.ingest.identity.directory import Directory, drop
from services.ingest.identity.locks import lock_placing
from services.ingest.identity.lookup import Lookup, keys_of
from services.ingest.identity.whose import Way, Whose
from services.ingest.metrics import UNMATCHED
from services.ingest.tables import directory as entries
from services.ingest.tables import placed, unmatched, unmatched_keys

KEPT_US = 7 * DAY_US
MOST = 100_000  # events; the oldest leave
AT_ONCE = 200  # events that a worker looks at in one round
APPEND_S = 30.0
HEADERS = (("content-type", b"application/cloudevents+json"),)

decode_event = msgspec.json.Decoder(Event).decode
decode_whose = msgspec.json.Decoder(Whose).decode
_encode = msgspec.json.Encoder().encode


class Going(msgspec.Struct, omit_defaults=True, frozen=True):
    """Where an event goes. `learn`: by hand, and its account shall be found by itself from now on."""

    accounts: tuple[str, ...]
    learn: bool = False


_decode_going = msgspec.json.Decoder(Going).decode


class Waiting(msgspec.Struct, frozen=True):
    """An event to be parked. `name`: see `placed`."""

    id: str
    name: bytes
    source: str
    event: Event
    whose: Whose


class Unmatched:
    """Blocks: call it from a worker thread."""

    def __init__(self, db: Database, log: Log, clock: Clock, directory: Directory) -> None:
        self._db = db
        self._log = log
        self._clock = clock
        self._directory = directory
        self._by_hand: set[int] = set()  # events that requests here are sending: the worker need not

    def park(self, connection: Connection, waiting: Sequence[Waiting]) -> None:
        """Keep these events, whose names and keys are locked."""
        now = self._clock.now()
        for one in waiting:
            row = {
                "id": one.id,
                "name": one.name,
                "source": one.source,
                "event": encode(one.event),
                "whose": _encode(one.whose),
                "partition": int.from_bytes(one.name[:4], "big") % self._log.partitions,
                "received_at": now,
                "due": False,
            }
            seq = connection.execute(insert(unmatched).values(row).returning(unmatched.c.seq)).scalar_one()
            keys = [{"key": key, "event": seq} for key in keys_of(one.whose, self._directory.key)]
            if keys:
                connection.execute(insert(unmatched_keys), keys)
        UNMATCHED.labels("parked").inc(len(waiting))
        self._bound(connection)

    def _bound(self, connection: Connection) -> None:
        """Let the oldest go where there are too many."""
        ends = select(unmatched.c.seq).order_by(unmatched.c.seq)
        first = connection.execute(ends.limit(1)).scalar()
        last = connection.execute(ends.order_by(None).order_by(unmatched.c.seq.desc()).limit(1)).scalar()
        if first is None or last is None or last - first < MOST:
            return
        over = select(unmatched.c.seq).order_by(unmatched.c.seq.desc()).offset(MOST)
        found = connection.execute(over).scalars().all()
        drop(connection, found)
        UNMATCHED.labels("dropped").inc(len(found))

    def prune(self) -> None:
        """Let go what has waited for 7 days."""
        old = select(unmatched.c.seq).where(
            unmatched.c.received_at < self._clock.now() - KEPT_US, unmatched.c.going.is_(None)
        )
        with self._db.read() as connection:
            found = connection.execute(old.limit(MOST)).scalars().all()
        for at in range(0, len(found), AT_ONCE):
            with self._db.write() as connection:
                drop(connection, found[at : at + AT_ONCE])
        UNMATCHED.labels("expired").inc(len(found))

    # -- sending on, by the worker

    def waiting(self) -> int:
        """How many events are to be looked at, or are on their way."""
        with self._db.read() as connection:
            query = select(func.count()).select_from(unmatched).where(unmatched.c.due)
            return connection.execute(query).scalar_one()

    def heal(self, partitions: Collection[int]) -> int:
        """Send on what has an account by now, of these partitions. Returns how many events were looked at."""
        due = select(unmatched.c.seq, unmatched.c.name, unmatched.c.whose)
        due = due.where(unmatched.c.due, unmatched.c.partition.in_(partitions)).order_by(unmatched.c.seq)
        with self._db.read() as connection:
            rows = [row for row in connection.execute(due.limit(AT_ONCE)) if row.seq not in self._by_hand]
        if not rows:
            return 0
        with self._db.write() as connection:
            keys = {key for row in rows for key in keys_of(decode_whose(row.whose), self._directory.key)}
            lock_placing(connection, [row.name for row in rows], keys)
            these = select(unmatched).where(among(connection, unmatched.c.seq, [row.seq for row in rows]))
            lookup = self._directory.lookup(connection, keys)
            ready = [
                row
                for one in connection.execute(these).all()
                if (row := self._choose(connection, one, lookup))
            ]
        self.send(ready)
        UNMATCHED.labels("found").inc(len(ready))
        return len(rows)

    def _choose(self, connection: Connection, row: Row[Any], lookup: Lookup) -> Row[Any] | None:
        """Note where an event goes. None: nobody knows."""
        if row.going is not None:
            return row
        fresh = row.received_at >= self._clock.now() - KEPT_US
        accounts = lookup.accounts(decode_whose(row.whose)) if fresh else ()
        mine = update(unmatched).where(unmatched.c.seq == row.seq)
        if not accounts:
            connection.execute(mine.values(due=False))
            return None
        return self._go(connection, row, Going(accounts))

    def _go(self, connection: Connection, row: Row[Any], going: Going) -> Row[Any]:
        now = self._clock.now()
        mine = update(unmatched).where(unmatched.c.seq == row.seq)
        connection.execute(mine.values(due=True, going=_encode(going).decode()))
        rows = [{"name": row.name, "account": one, "received_at": now} for one in going.accounts]
        upsert(connection, placed, rows, ["name", "account"])
        return connection.execute(select(unmatched).where(unmatched.c.seq == row.seq)).one()

    def send(self, rows: Sequence[Row[Any]]) -> None:
        """Append what is on its way, then forget it. Raises `LogUnavailable`."""
        if not rows:
            return
        with self._db.read() as connection:
            made = [event for row in rows for event in self._events(connection, row)]
        appended = self._log.append(EVENTS, [Entry(encode(one), one.account, None, HEADERS) for one in made])
        try:
            appended.result(timeout=APPEND_S)
        except TimeoutError:
            raise LogUnavailable("the log did not take the events in time") from None
        hit("ingest.after_sending_on_before_forgetting")
        with self._db.write() as connection:
            drop(connection, [row.seq for row in rows])

    def _events(self, connection: Connection, row: Row[Any]) -> list[Event]:
        going, event, whose = _decode_going(row.going), decode_event(row.event), decode_whose(row.whose)
        lookup = self._directory.lookup(connection, keys_of(whose, self._directory.key))
        made = [addressed(event, account, whose, lookup) for account in going.accounts]
        if going.learn:
            lesson = self._lesson(connection, row.id, event, whose, going.accounts[0], lookup)
            if made[0].contact is None and _says_of(lesson, whose):
                made[0].contact = lesson.contact
            made.insert(0, lesson)
        return made

    # -- by hand

    def assign(self, id: str, account: str, *, learn: bool, trail: AuditTrail) -> Row[Any]:
        """Send an event to an account. Raises `NotFound`, `StateConflict`, `Invalid`, `LogUnavailable`."""
        with self._db.read() as connection:
            row = self.get(connection, id)
            closed = learn and self._directory.is_closed(connection, account)
        if closed:  # what it is taught replaces what the other one has
            message = "was merged into another account: name that one, or do not learn"
            raise Invalid([{"field": "account", "message": message}])
        if learn and learnable(decode_whose(row.whose)) is None:
            message = "there is nothing to learn: no external id, address or domain of its own was tried"
            raise Invalid([{"field": "learn", "message": message}])
        self._by_hand.add(row.seq)
        try:
            row = self._assign(id, Going((account,), learn), trail)
            self.send([row])
        finally:
            self._by_hand.discard(row.seq)
        UNMATCHED.labels("assigned").inc()
        return row

    def _assign(self, id: str, going: Going, trail: AuditTrail) -> Row[Any]:
        """Note where an event goes by hand."""
        with self._db.read() as connection:
            row = self.get(connection, id)
        with self._db.write() as connection:
            lock_placing(connection, [row.name], keys_of(decode_whose(row.whose), self._directory.key))
            row = self.get(connection, id)
            if row.going is not None and _decode_going(row.going).accounts != going.accounts:
                raise StateConflict("the event is on its way to another account")
            row = self._go(connection, row, going)
            told = {"account": going.accounts[0], "learn": going.learn}
            trail.note(connection, "unmatched", id, before={}, after=told)
        return row

    def discard(self, id: str, trail: AuditTrail) -> None:
        """Delete an event. Raises `NotFound`, `StateConflict`."""
        with self._db.read() as connection:
            row = self.get(connection, id)
        with self._db.write() as connection:
            lock_placing(connection, [row.name], ())
            row = self.get(connection, id)
            if row.going is not None:
                raise StateConflict("the event is on its way to its account")
            drop(connection, [row.seq])
            trail.note(connection, "unmatched", id, before={"source": row.source})

    def get(self, connection: Connection, id: str) -> Row[Any]:
        """The row of an event. Raises `NotFound`."""
        row = connection.execute(select(unmatched).where(unmatched.c.id == id)).first()
        if row is None:
            raise NotFound(f"there is no unmatched event {id}")
        return row

    def _lesson(
        self, connection: Connection, id: str, event: Event, whose: Whose, account: str, lookup: Lookup
    ) -> Event:
        """The update by which events like this one find the account from now on. An address goes to the contact who
        has it, else to the event's own if that has none, else to a new one: it takes nobody's place."""
        way = learnable(whose)
        made = Event(type="account.updated", id=f"learn-{id}", account=account, time=event.time)
        if way is None or way.way == "email":
            address = way.value.strip() if way else ""
            contact = lookup.contact(account, address)
            if contact is None and event.contact is not None:
                mine = (
                    entries.c.account == account,
                    entries.c.kind == "email",
                    entries.c.name == event.contact,
                )
                has_one = connection.execute(select(entries.c.name).where(*mine)).first() is not None
                contact = None if has_one else event.contact
            contact = contact or normal(address)
            return msgspec.structs.replace(
                made, type="contact.updated", contact=contact, data={"email": address}
            )
        kind, name = way.way, way.system or ""
        known = select(entries.c.text).where(
            entries.c.account == account, entries.c.kind == kind, entries.c.name == name
        )
        value = way.value.strip() if kind == "external_id" else domain_of(_address_at(way.value))
        values = [*connection.execute(known.order_by(entries.c.text)).scalars(), value]
        values = list(dict.fromkeys(values))
        made.data = {"external_ids": {name: values}} if kind == "external_id" else {"domains": values}
        return made


def addressed(event: Event, account: str, whose: Whose, lookup: Lookup) -> Event:
    """The event at an account, with its contact there. An update makes the contact if nobody has that address."""
    contact, email = event.contact, whose.contact_email
    data = event.data
    if contact is None and email is not None:
        contact = lookup.contact(account, email)
        if event.type == "contact.updated":
            contact = contact or normal(email)
            data = {"email": email.strip(), **data} if isinstance(data, Mapping) else data
    return msgspec.structs.replace(event, account=account, contact=contact, data=data)


def _says_of(lesson: Event, whose: Whose) -> bool:
    """Whether what is learned is the address by which the event's contact is found."""
    known = lesson.data.get("email") if isinstance(lesson.data, Mapping) else None
    return (
        known is not None and whose.contact_email is not None and normal(known) == normal(whose.contact_email)
    )


def learnable(whose: Whose) -> Way | None:
    """The first way tried by which an account could be found from now on."""
    return next((way for way in whose.ways if _can_be_learned(way)), None)


def _can_be_learned(way: Way) -> bool:
    try:
        if way.way == "external_id":
            valid_external_id(way.value)
        elif way.way == "email":
            valid_address(way.value.strip())
        else:
            return way.way == "domain" and bool(valid_domain(domain_of(_address_at(way.value))))
    except (BadAddress, BadDomain, ValueError):
        return False
    return True


def _address_at(domain: str) -> str:
    """A domain, or an address there, as an address."""
    return domain.strip() if "@" in domain else f"x@{domain.strip()}"


def new_id() -> str:
    """The id of an event to be parked."""
    return f"unm_{uuid_utils.uuid7().hex}"


def listing(source: str | None) -> Select[Any]:
    """The query of the list."""
    query = select(unmatched)
    return query if source is None else query.where(unmatched.c.source == source)
