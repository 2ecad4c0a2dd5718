"""When mails began, for the caps of the sending policy. Kept as long as a cap counts back, while there are caps.

What began before a policy was saved counts too: the save itself collects it from the actions, while no beginning is
under way (see `sending`). Addresses are kept as hashes, and leave with their account or contact.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, exists, select

from services.actions.channels import NEED_CONSENT
from services.actions.policy.mails import Begun, Past, WaitingMail
from services.actions.policy.rules import SendingPolicy
from services.actions.storage.sql import Sql, listed
from services.actions.storage.suppressions import Hasher
from services.actions.tables import actions, begins

AT_ONCE = 1_000  # rows
_BEGUN = "SELECT action AS id, at, address, account, topic, tier FROM actions.actions_begins WHERE %s {ids} AND at > ?"
_begun_to = Sql(_BEGUN % "address")
_begun_to_or_of = Sql(f"{_BEGUN % 'address'} UNION {_BEGUN % 'account'}")
_keep = Sql("""
    INSERT INTO actions.actions_begins (action, at, address, account, topic, tier) VALUES (?, ?, ?, ?, ?, ?)
""")


def past(conn: Connection, mails: Iterable[WaitingMail], since: int, *, by_account: bool) -> Past:
    """The mails to the same addresses that began after a moment, as far as that can be read; `by_account`: and those of
    the same accounts."""
    mails = list(mails)
    if not mails:
        return Past()
    to = listed(conn, sorted({one.address for one in mails}))
    if by_account:
        of = listed(conn, sorted({one.account for one in mails}))
        return Past(_begun_to_or_of.read_fitting(conn, Begun, to, since, of, since))
    return Past(_begun_to.read_fitting(conn, Begun, to, since))


def keep(conn: Connection, begun: Iterable[Begun]) -> None:
    """Keep that mails began."""
    _keep.insert(conn, [msgspec.structs.astuple(one) for one in begun])


def collect(conn: Connection, policy: SendingPolicy, now: int, hasher: Hasher) -> None:
    """Keep what began in the time that a policy to be saved counts back. No beginning may be under way."""
    if not policy.caps:
        return
    known = exists().where(begins.c.action == actions.c.id, begins.c.at == actions.c.begun_at)
    query = (
        select(
            *(actions.c.seq, actions.c.id, actions.c.begun_at, actions.c.recipient),
            *(actions.c.account, actions.c.topic, actions.c.tier),
        )
        .where(actions.c.begun_at > now - policy.longest, ~known)
        .where(actions.c.channel.in_(NEED_CONSENT), actions.c.contact.is_not(None))
        .order_by(actions.c.seq)
        .limit(AT_ONCE)
    )
    last = 0
    while rows := conn.execute(query.where(actions.c.seq > last)).all():
        last = rows[-1].seq
        keep(conn, [_begun(row, hasher) for row in rows])


def _begun(row: Any, hasher: Hasher) -> Begun:
    address = hasher.digest(row.recipient or "")
    return Begun(row.id, row.begun_at, address, row.account, row.topic, row.tier or "")


def prune(conn: Connection, policy: SendingPolicy | None, now: int) -> int:
    """Forget what no cap counts any more; returns how many beginnings that were. The caller has `sending.lock_shared`,
    so that no policy is saved meanwhile."""
    before = now - policy.longest if policy is not None and policy.caps else 1 << 62
    return conn.execute(delete(begins).where(begins.c.at <= before)).rowcount
