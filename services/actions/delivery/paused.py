"""Keeps back the actions of paused playbooks and rules: none begins, and none is leased again and again. SQL only."""

from collections.abc import Sequence

from sqlalchemy import Connection

from services.actions.channels import CHANNELS
from services.actions.plays.model import Leased
from services.actions.storage import attempts, digest_mails, digests, holds
from services.actions.storage.suppressions import Hasher


def lock(conn: Connection) -> None:
    """Until the transaction ends, nothing is paused or resumed. To be called first."""
    holds.lock(conn, [holds.ALL])


def may_begin(conn: Connection, ids: Sequence[str], now: int) -> list[str]:
    """Those of our leased actions whose playbook and rule go on; the others wait, and nothing of them was sent."""
    standing = holds.standing(conn, ids)
    if standing:
        attempts.never_sent(conn, sorted(standing), now)
        _hold_back(conn, standing)
    return [one for one in ids if one not in standing]


def _hold_back(conn: Connection, standing: set[str]) -> None:
    """Let actions wait. The mail of a digest that has not begun goes without what is paused."""
    holds.park(conn, standing - digests.take_back(conn, standing) if standing else ())


def take_back(conn: Connection, begins: Sequence[Leased], hasher: Hasher, now: int) -> set[str]:
    """Take back the mails of digests that are about to begin with an item that may not go any more; returns them."""
    digests_ = [one.id for one in begins if CHANNELS[one.channel].needs_consent]
    doomed = digest_mails.changed(conn, digests_, hasher) if digests_ else set()
    if doomed:
        attempts.never_sent(conn, sorted(doomed), now)
        digests.take_back(conn, doomed)
    return doomed


def keep_back(conn: Connection, leased: Sequence[Leased]) -> list[Leased]:
    """The actions that were just leased, without those that wait. One whose process died in an attempt is leased all
    the same: it must be recorded what became of it."""
    standing = holds.standing(conn, [one.id for one in leased if not one.interrupted])
    _hold_back(conn, standing)
    return [one for one in leased if one.id not in standing]
