"""Erasure: nothing of an account, or of one contact of it, stays in our tables; suppressions stay as hashes. SQL
only."""

import msgspec
from sqlalchemy import Connection, delete, or_, select

from schemas.names import MAX_NAME, fitting
from services.actions import suppressions
from services.actions.tables import accounts, actions, attempts, outbox, plays, tasks


class Erasure(msgspec.Struct, frozen=True):
    """What is to go: an account, or one contact of it, and the addresses that were known."""

    account: str
    contact: str | None
    addresses: list[str | None]


def erase(conn: Connection, erasure: Erasure) -> None:
    """Carry out an erasure. The profile of an erased contact's account is the caller's."""
    suppressions.forget(conn, erasure.addresses)
    contact = fitting(erasure.contact, MAX_NAME)
    if contact is None:
        _account(conn, erasure.account)
    else:
        _contact(conn, erasure.account, contact)


def _account(conn: Connection, account: str) -> None:
    ids = select(actions.c.id).where(actions.c.account == account)
    conn.execute(delete(attempts).where(attempts.c.action.in_(ids)))
    for table in (actions, tasks, plays, outbox, accounts):
        conn.execute(delete(table).where(table.c.account == account))


def _contact(conn: Connection, account: str, contact: str) -> None:
    """The plays of the contact go as a whole; of others, what was addressed to it."""
    of_contact = (plays.c.account == account) & (plays.c.contact == contact)
    mine = list(conn.scalars(select(plays.c.id).where(of_contact)))
    hit = (actions.c.account == account) & or_(actions.c.contact == contact, actions.c.play.in_(mine))
    conn.execute(delete(attempts).where(attempts.c.action.in_(select(actions.c.id).where(hit))))
    conn.execute(delete(actions).where(hit))
    conn.execute(
        delete(tasks).where(
            tasks.c.account == account, or_(tasks.c.contact == contact, tasks.c.play.in_(mine))
        )
    )
    conn.execute(delete(plays).where(of_contact))
