"""Erasure of an account, or of one of its contacts, from our tables; suppressions stay as hashes. SQL only."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, insert, or_, select

from backbone.exports.erased import note_rows
from schemas.names import MAX_NAME, fitting
from services.actions.channels import LEAVE_FILES, NEED_CONSENT
from services.actions.plays.model import ActionDraft, DigestItem, Op, OwnEvent, StepNote
from services.actions.storage import digests, rehearsals, suppressions, task_mails
from services.actions.storage.mentions import unname
from services.actions.tables import (
    accounts,
    actions,
    attempts,
    begins,
    digest_items,
    export_erased,
    history,
    mail_reports,
    mails_gone,
    outbox,
    plays,
    tasks,
)


class ToErase(msgspec.Struct, frozen=True):
    """The account to erase, or the one contact of it, with the addresses that were known and the contact's name."""

    account: str
    contact: str | None
    addresses: list[str | None]
    name: str | None = None


EXPORTED = {"actions": actions, "tasks": tasks, "plays": plays}


class _Told(msgspec.Struct):
    """The parts of an event in the outbox that say whom it is about."""

    contact: str | None = None
    data: dict[str, Any] = {}


_event = msgspec.json.Decoder(_Told).decode


def erase(conn: Connection, erasure: ToErase, now: int) -> None:
    """Carry out an erasure. Of an erased contact, the caller updates the account's profile. `now`: wall clock."""
    rehearsals.forget(conn, erasure.account)
    contact = fitting(erasure.contact, MAX_NAME)
    if contact is None:
        _account(conn, erasure, now)
    else:
        _contact(conn, erasure, contact, now)


def _account(conn: Connection, erasure: ToErase, now: int) -> None:
    digests.erase(conn, digest_items.c.account == erasure.account, now)
    gone = actions.c.account == erasure.account
    addresses = _hold(conn, gone, actions.c.contact.is_not(None), now)
    suppressions.forget(conn, [*erasure.addresses, *addresses])
    _forget_sends(conn, gone)
    task_mails.forget(conn, tasks.c.account == erasure.account, now)
    for kind, table in EXPORTED.items():
        _delete(conn, kind, table, table.c.account == erasure.account)
    for table in (begins, history, outbox, accounts):
        conn.execute(delete(table).where(table.c.account == erasure.account))


def _contact(conn: Connection, erasure: ToErase, contact: str, now: int) -> None:
    """Erase the contact's plays as a whole, and from other plays the actions and tasks addressed to the contact."""
    of_contact = (plays.c.account == erasure.account) & (plays.c.contact == contact)
    mine = list(conn.scalars(select(plays.c.id).where(of_contact)))
    theirs = or_(digest_items.c.contact == contact, digest_items.c.play.in_(mine))
    digests.erase(conn, (digest_items.c.account == erasure.account) & theirs, now)
    gone = (actions.c.account == erasure.account) & or_(
        actions.c.contact == contact, actions.c.play.in_(mine)
    )
    addresses = _hold(conn, gone, actions.c.contact == contact, now)
    suppressions.forget(conn, [*erasure.addresses, *addresses])
    _forget_sends(conn, gone)
    _delete(conn, "actions", actions, gone)
    of_tasks = or_(tasks.c.contact == contact, tasks.c.play.in_(mine))
    task_mails.forget(conn, (tasks.c.account == erasure.account) & of_tasks, now)
    _delete(conn, "tasks", tasks, (tasks.c.account == erasure.account) & of_tasks)
    _untell(conn, erasure.account, contact, set(mine))
    conn.execute(delete(history).where(history.c.play.in_(mine)))
    _delete(conn, "plays", plays, of_contact)
    unname(conn, erasure.account, contact, [*erasure.addresses, erasure.name])


def _delete(conn: Connection, kind: str, table: Table, which: ColumnElement[bool]) -> None:
    """Delete rows of an exported table; their ids stay, for those who have read them."""
    note_rows(conn, export_erased, kind, select(table.c.id).where(which))
    conn.execute(delete(table).where(which))


def _forget_sends(conn: Connection, gone: ColumnElement[bool]) -> None:
    """Delete the attempts at actions, when they began, and what was reported about them."""
    ids = select(actions.c.id).where(gone)
    for table in (attempts, begins, mail_reports):
        conn.execute(delete(table).where(table.c.action.in_(ids)))


def _untell(conn: Connection, account: str, contact: str, plays_of: set[str]) -> None:
    """Delete events about the contact, or about the contact's plays, that still wait in the outbox."""
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
    """Lock the actions that are `gone` until the transaction ends, and list the mail files to be removed.

    Returns the addresses, former ones too, of those that are `theirs` and whose channel needs consent. The lock waits
    for what delivery is writing about an action, so that it is erased too; later delivery finds no row. Each process
    removes the mail files that it has.
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


def is_about(op: Op, account: str, contact: str | None = None, doomed: Iterable[str] = ()) -> bool:
    """Whether an op is about an account; with a contact: about that contact, or about one of the `doomed` plays."""
    if not isinstance(op, ActionDraft | DigestItem | OwnEvent | StepNote):
        return False
    if contact is None:
        return op.account == account
    play = str(op.data.get("play")) if isinstance(op, OwnEvent) else op.play
    named = None if isinstance(op, StepNote) else op.contact
    return op.account == account and (named == contact or play in doomed)
