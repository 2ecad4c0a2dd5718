"""Collects everything that rules keeps about an account or a person, and their records in the log."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from backbone.database import Database
from backbone.log import DEAD_LETTERS, EVENTS, TRIGGERS, Log, OffsetOutOfRange, Record
from backbone.web.account_record import Parts, rows
from schemas.event import Event, Malformed, decode, rfc3339
from schemas.profile import contact_of
from schemas.trigger import TriggerRecord
from services.rules.api.explain import Explainer
from services.rules.engine.account_state import AccountState, subject_of
from services.rules.engine.state_codec import decode as state_of
from services.rules.tables import accounts, triggers

STRETCH = 2_000  # records per read

_trigger = msgspec.json.Decoder(TriggerRecord).decode


class AccountRecord:
    """Reads committed state and the log, so any rules process can answer for any account."""

    def __init__(
        self, db: Database, log: Log, explainer: Explainer, partition_of: Callable[[str], int]
    ) -> None:
        self._db, self._log, self._explainer, self._partition_of = db, log, explainer, partition_of

    def parts(self, account: str, contact: str | None) -> Parts:
        """Everything kept about an account or, with a contact, about that person."""
        view = self._explainer.account_view()
        with self._db.read() as conn:
            row = conn.execute(select(accounts).where(accounts.c.account == account)).one_or_none()
        shown = None if row is None else view(row)
        if contact is None or shown is None:
            yield "account", shown
        else:
            yield "contact", next((one for one in shown["contacts"] if one["id"] == contact), None)
        yield "remembered", None if row is None else _remembered(state_of(row.state), contact)
        yield "triggers", self._triggers(account, contact)
        partition = self._partition_of(account)
        yield EVENTS, self._of(EVENTS, partition, account, lambda record: _event(record, account, contact))
        yield TRIGGERS, self._of(TRIGGERS, partition, account, lambda record: _told(record, account, contact))
        yield DEAD_LETTERS, self._letters(account, contact)

    def _triggers(self, account: str, contact: str | None) -> Iterator[Any]:
        query = select(triggers).where(triggers.c.account == account)
        if contact is not None:
            query = query.where(triggers.c.contact == contact)
        return rows(self._db, query, [triggers.c.seq], _doc)

    def _letters(self, account: str, contact: str | None) -> Iterator[Any]:
        """Dead letters of the account, as text, since nobody knows what they contain."""
        for partition in sorted(self._log.end_offsets(DEAD_LETTERS)):
            yield from self._of(DEAD_LETTERS, partition, account, lambda record: _letter(record, contact))

    def _of(self, topic: str, partition: int, account: str, show: Callable[[Record], Any]) -> Iterator[Any]:
        """The account's records in a partition, from the start of the log to its current end."""
        offset = self._log.start_offsets(topic).get(partition, 0)
        end = self._log.end_offsets(topic).get(partition, 0)
        while offset < end:
            try:
                records = self._log.read(topic, partition, offset, min(STRETCH, end - offset))
            except OffsetOutOfRange as gone:  # retention has deleted them in the meantime
                if gone.start is None or gone.start <= offset:
                    return
                offset = gone.start
                continue
            if not records:
                return
            for record in records:
                if record.key in (None, account) and (shown := show(record)) is not None:
                    yield {"position": {"partition": partition, "offset": record.offset}, **shown}
            offset = records[-1].offset + 1


def _doc(_: Connection, row: Row[Any]) -> Any:
    return msgspec.Raw(row.doc)


def _remembered(state: AccountState, contact: str | None) -> dict[str, Any]:
    """What the state holds besides the profile: event ids, the events that armed absences, and who fired when."""
    armed = [event for kept in state.kept.values() for one in kept.values() for event in one.armed()]
    fired = [(subject_of(key), at) for key, at in state.last.items()]
    found: dict[str, Any] = {
        "armed": [
            {
                "id": one.id,
                "type": one.type,
                "time": rfc3339(one.time),
                "contact": one.contact,
                "data": one.data,
            }
            for one in armed
            if contact is None or one.contact == contact
        ],
        "last_triggers": [
            {"contact": subject[0], "key": subject[1], "at": rfc3339(at)}
            for subject, at in fired
            if contact is None or subject[0] == contact
        ],
    }
    if contact is None:
        found["event_ids"] = [key if isinstance(key, str) else key[1] for key in state.seen]
    return found


def _event(record: Record, account: str, contact: str | None) -> dict[str, Any] | None:
    try:
        event = decode(record.value, place=f"{record.partition}/{record.offset}", timestamp=record.timestamp)
    except Malformed:
        return None
    if event.account != account or (contact is not None and not _concerns(event, contact)):
        return None
    return {"event": event}


def _concerns(event: Event, contact: str) -> bool:
    if contact_of(event) == contact:
        return True
    people = (
        event.data.get("contacts")
        if event.type == "account.updated" and isinstance(event.data, dict)
        else None
    )
    return isinstance(people, list) and any(
        isinstance(one, dict) and one.get("id") == contact for one in people
    )


def _told(record: Record, account: str, contact: str | None) -> dict[str, Any] | None:
    try:
        trigger = _trigger(record.value).trigger
    except msgspec.DecodeError:
        return None
    if trigger is None or trigger.account != account or contact not in (None, trigger.contact):
        return None
    return {"trigger": trigger}


def _letter(record: Record, contact: str | None) -> dict[str, Any] | None:
    if record.key is None or (
        contact is not None and contact.encode("utf-8", "surrogatepass") not in record.value
    ):
        return None
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    return {"headers": headers, "value": record.value.decode("utf-8", "backslashreplace")}
