"""Erasure: nothing of an account, or of one contact of it, stays in our tables; suppressions stay as hashes. SQL
only."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select

from schemas.names import MAX_NAME, fitting
from services.actions.channels import LEAVE_FILES, NEED_CONSENT
from services.actions.storage import suppressions
from services.actions.storage.mentions import unname
from services.actions.tables import (
    accounts,
    actions,
    attempts,
    history,
    mails_gone,
    outbox,
    plays,
    tasks,
)


class ToErase(msgspec.Struct, frozen=True):
    """What is to go: an account, or one contact of it, the addresses that were known, and the contact's name."""

    account: str
    contact: str | None
    addresses: list[str | None]
    name: str | None = None


class _Told(msgspec.Struct):
    """What of an event in the outbox says whom it is about."""

    contact: str | None = None
    data: dict[str, Any] = {}


_event = msgspec.json.Decoder(_Told).decode


def erase(conn: Connection, erasure: ToErase, now: int) -> None:
    """Carry out an erasure. The profile of an erased contact's account is the caller's. `now`: wall clock."""
    contact = fitting(erasure.contact, MAX_NAME)
    if contact is None:
        _account(conn, erasure, now)
    else:
        _contact(conn, erasure, contact, now)


def _account(conn: Connection, erasure: ToErase, now: int) -> None:
    gone = actions.c.account == erasure.account
    addresses = _hold(conn, gone, actions.c.contact.is_not(None), now)
    suppressions.forget(conn, [*erasure.addresses, *addresses])
    conn.execute(delete(attempts).where(attempts.c.action.in_(select(actions.c.id).where(gone))))
    for table in (actions, tasks, history, plays, outbox, accounts):
        conn.execute(delete(table).where(table.c.account == erasure.account))


def _contact(conn: Connection, erasure: ToErase, contact: str, now: int) -> None:
    """The plays of the contact go as a whole; of others, what was addressed to it."""
    of_contact = (plays.c.account == erasure.account) & (plays.c.contact == contact)
    mine = list(conn.scalars(select(plays.c.id).where(of_contact)))
    gone = (actions.c.account == erasure.account) & or_(
        actions.c.contact == contact, actions.c.play.in_(mine)
    )
    addresses = _hold(conn, gone, actions.c.contact == contact, now)
    suppressions.forget(conn, [*erasure.addresses, *addresses])
    conn.execute(delete(attempts).where(attempts.c.action.in_(select(actions.c.id).where(gone))))
    conn.execute(delete(actions).where(gone))
    conn.execute(
        delete(tasks).where(
            tasks.c.account == erasure.account, or_(tasks.c.contact == contact, tasks.c.play.in_(mine))
        )
    )
    _untell(conn, erasure.account, contact, set(mine))
    conn.execute(delete(history).where(history.c.play.in_(mine)))
    conn.execute(delete(plays).where(of_contact))
    unname(conn, erasure.account, contact, [*erasure.addresses, erasure.name])


def _untell(conn: Connection, account: str, contact: str, plays_of: set[str]) -> None:
    """What waits in the outbox about the contact, or about plays of theirs, does not go out any more."""
    doomed = []
    for row in conn.execute(select(outbox.c.seq, outbox.c.value).where(outbox.c.account == account)):
        event = _event(row.value)
        if event.contact == contact or event.data.get("play") in plays_of:
            doomed.append(row.seq)
    if doomed:
        conn.execute(delete(outbox).where(outbox.c.seq.in_(doomed)))


def _hold(
    conn: Connection, gone: ColumnElement[bool], theirs: ColumnElement[bool], now: int
) -> set[str | None]:
    """Hold actions until the transaction ends; the addresses, former ones too, that need consent, of those that
    are `theirs`.

    What delivery is writing about an action is there by then, and goes with it; afterwards it finds nothing. Files of
    mails are for those to remove who have them.
    """
    query = select(
        actions.c.id, actions.c.due_at, actions.c.channel, actions.c.recipient, theirs.label("theirs")
    )
    rows = conn.execute(query.where(gone).with_for_update()).all()
    files = [row for row in rows if row.channel in LEAVE_FILES]
    if files:
        conn.execute(
            insert(mails_gone), [{"action": row.id, "due_at": row.due_at, "at": now} for row in files]
        )
    return {row.recipient for row in rows if row.theirs and row.channel in NEED_CONSENT}
