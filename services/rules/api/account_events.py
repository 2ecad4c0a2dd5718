"""The events of an account, newest first, as far as the log keeps them.

The account's state remembers the offsets of its events: all those of the last days, and those that a trigger or an
explanation may still name. They are read directly. Earlier events are looked for in the log, backwards, one stretch
at a time. A page may therefore be short, and its cursor says where to go on. So a page costs the same on a small
log and on a large one.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, select

from backbone.database import Database
from backbone.errors import NotFound
from backbone.log import EVENTS, Log, OffsetOutOfRange, Record
from backbone.web.pagination import Paging, bad_cursor, encode_cursor
from schemas.event import Event, Malformed, microseconds, rfc3339
from schemas.forwarding import ABSORBED, ERASED, erased_of
from schemas.profile import contact_of
from services.rules.decoding import decoded
from services.rules.engine.account_state import OFFSET_BITS, OFFSETS, SWEEP_FLOOR, AccountState
from services.rules.engine.state_codec import decode
from services.rules.tables import accounts

TOGETHER = 20  # scattered records read in one request; others wait for the log's reader meanwhile
STRETCH = 2_000  # records searched at a time
LOOKED_THROUGH = 20_000  # other accounts' records searched for one page
PATIENCE_S = 3.0  # after this a page ends where it is


class Wanted(NamedTuple):
    """Which events are asked for; a filter that is None lets every event through."""

    type: str | None = None
    after: datetime | None = None
    id: str | None = None

    def fits(self, event: Event) -> bool:
        """Whether the event is one of them."""
        at = _time(event)
        return (
            (self.type is None or event.type == self.type)
            and (self.after is None or at > microseconds(self.after))
            and (self.id is None or event.id == self.id)
        )


class AccountEvents:
    """Reads committed state and the log, so any rules process can answer for any account."""

    def __init__(
        self, db: Database, log: Log, *, wall: bool, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._db, self._log, self._wall, self._monotonic = db, log, wall, monotonic

    def page(self, account: str, wanted: Wanted, paging: Paging) -> dict[str, Any]:
        """A page of the account's events. Raises `NotFound` if the account does not exist or was erased."""
        with self._db.read() as conn:
            row = conn.execute(select(accounts).where(accounts.c.account == account)).one_or_none()
        if row is None:
            raise NotFound(f"no event of an account {account!r} has been processed yet")
        reading = _Reading(self._log, row, wanted, wall=self._wall)
        until = self._monotonic() + PATIENCE_S
        items: list[dict[str, Any]] = []
        for below, found in reading.backwards(_place(paging)):
            items += found
            if len(items) > paging.limit:
                items = items[: paging.limit]
                return {"items": items, "next_cursor": encode_cursor([items[-1]["position"]["offset"]])}
            if self._monotonic() > until or reading.looked >= LOOKED_THROUGH:
                return {"items": items, "next_cursor": encode_cursor([below])}
        return {"items": items, "next_cursor": None}


def _place(paging: Paging) -> int:
    """The offset that a cursor names; without a cursor, one after all records."""
    if paging.cursor is None:
        return OFFSETS
    if len(paging.cursor) != 1 or not isinstance(paging.cursor[0], int):
        raise bad_cursor()
    return paging.cursor[0]


class _Reading:
    """One reading of an account's events."""

    def __init__(self, log: Log, row: Row[Any], wanted: Wanted, *, wall: bool) -> None:
        self._log, self._partition, self._wall, self._wanted = log, row.partition, wall, wanted
        self._state = decode(row.state)
        self._known = [value & OFFSETS for value in self._state.seen.values()]  # ascending
        self._stamps = [value >> OFFSET_BITS for value in self._state.seen.values()]
        self._gone = self._departures()
        self.looked = 0

    def backwards(self, below: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """The events asked for before this offset, one stretch at a time, each with the offset where it begins."""
        if self._wanted.id is not None:
            offsets = [offset for offset in _offsets_of(self._state, self._wanted.id) if offset < below]
            yield from self._picked(offsets)
            if offsets:
                return
        yield from self._picked([offset for offset in self._recent() if offset < below])
        yield from self._before(min(below, min(self._known, default=below)))

    def _recent(self) -> list[int]:
        """The offsets of known events that may be late enough, ascending.

        No event is later than the newest one at its arrival.
        """
        if self._wanted.after is None:
            return self._known
        after = microseconds(self._wanted.after)
        return [offset for offset, stamp in zip(self._known, self._stamps, strict=True) if stamp > after]

    def _picked(self, offsets: Sequence[int]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        end = len(offsets)
        while end:
            near = bisect_left(offsets, offsets[end - 1] - STRETCH + 1, 0, end)
            close = end - near > TOGETHER  # so many in one stretch that it is read as a whole
            part = offsets[near if close else max(0, end - TOGETHER) : end]
            records = self._among(part) if close else self._log.pick(EVENTS, self._partition, part)
            yield part[0], self._shown(reversed(records))
            end -= len(part)

    def _among(self, offsets: Sequence[int]) -> list[Record]:
        wanted = set(offsets)
        return [one for one in self._stretch(offsets[0], offsets[-1] + 1) if one.offset in wanted]

    def _before(self, below: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """The events that the state has forgotten, looked for in the log."""
        if self._knows_all():
            return
        first = max(self._state.born, self._log.start_offsets(EVENTS).get(self._partition, 0))
        while below > first:
            begin = max(first, below - STRETCH)
            records = [
                record for record in self._stretch(begin, below) if record.key in (None, self._state.account)
            ]
            self.looked += below - begin
            yield begin, self._shown(reversed(records))
            below = begin

    def _knows_all(self) -> bool:
        """Whether the state has never forgotten an event's offset."""
        return self._state.sweep_at == SWEEP_FLOOR and len(self._known) < SWEEP_FLOOR

    def _stretch(self, begin: int, end: int) -> Iterator[Record]:
        while begin < end:
            try:
                records = self._log.read(EVENTS, self._partition, begin, end - begin)
            except OffsetOutOfRange:  # retention has deleted them first
                return
            if not records:
                return
            yield from (record for record in records if record.offset < end)
            begin = records[-1].offset + 1

    def _departures(self) -> dict[str, int]:
        """The contacts that were erased, each with the offset of the latest erasure."""
        gone: dict[str, int] = {}
        for start in range(0, len(self._state.departed), TOGETHER):
            for record in self._log.pick(
                EVENTS, self._partition, self._state.departed[start : start + TOGETHER]
            ):
                event = self._event(record)
                if event is not None and (contact := _departed(event)) is not None:
                    gone[contact] = record.offset
        return gone

    def _shown(self, records: Any) -> list[dict[str, Any]]:
        events = [(record, event) for record in records if (event := self._event(record)) is not None]
        return [
            _view(record, event, self._data(record.offset, event))
            for record, event in events
            if event.type != ERASED
            and self._wanted.fits(event)
            and not self._is_gone(record.offset, contact_of(event))
        ]

    def _event(self, record: Record) -> Event | None:
        """The account's event in a record; None if the record is another account's, or not an event."""
        try:
            event = decoded(record, wall=self._wall)
        except Malformed:
            return None
        mine = event.account == self._state.account and record.offset >= self._state.born
        return event if mine and event.type != ABSORBED else None  # its content came with other events

    def _is_gone(self, offset: int, contact: str | None) -> bool:
        """Whether a contact was erased after this offset.

        Where that is not known: whether there is no contact of that name.
        """
        if contact is None:
            return False
        if offset < self._state.veil and contact not in self._state.profile.contacts:
            return True
        return offset < self._gone.get(contact, -1)

    def _data(self, offset: int, event: Event) -> Any:
        """The event's data; from an update, the contacts that were erased since are left out."""
        data = event.data
        contacts = (
            data.get("contacts") if event.type == "account.updated" and isinstance(data, dict) else None
        )
        if not isinstance(contacts, list):
            return data
        named = [(one.get("id") if isinstance(one, dict) else None, one) for one in contacts]
        kept = [one for id_, one in named if not (isinstance(id_, str) and self._is_gone(offset, id_))]
        return {**data, "contacts": kept}


def _departed(event: Event) -> str | None:
    """The contact that was erased by this event."""
    what = erased_of(event) if event.type == ERASED else None
    return contact_of(event) if what is None else what.contact


def _offsets_of(state: AccountState, id_: str) -> list[int]:
    """The offsets of the account's events with this id, as far as they are remembered."""
    seen = [
        value & OFFSETS
        for key, value in state.seen.items()
        if (key if isinstance(key, str) else key[1]) == id_
    ]
    return sorted({*seen, *(offset for offset, older in state.older.items() if older == id_)})


def _time(event: Event) -> int:
    return 0 if event.time is None else microseconds(event.time)  # `decoded` always gives one


# Attributes that are shown only where an event has them.
_WHERE_SET = ("subject", "originaltime", "unvouched", "mergedfrom")


def _view(record: Record, event: Event, data: Any) -> dict[str, Any]:
    more = {name: value for name in _WHERE_SET if (value := getattr(event, name))}
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": rfc3339(_time(event)),
        "account": event.account,
        "contact": event.contact,
        "data": data,
        "historical": event.historical,
        **more,
        "position": {"partition": record.partition, "offset": record.offset},
    }
