"""What people do to actions by hand: sending one again, and the entries in its play's history. SQL only."""

from typing import Any

from sqlalchemy import Connection, Row, insert, select

from schemas.play_reasons import HistoryReason
from services.actions.channels import NEED_CONSENT
from services.actions.storage import holds
from services.actions.storage.status import send_again
from services.actions.tables import actions, history, plays


def locked(conn: Connection, action: str) -> tuple[Row[Any], str | None] | None:
    """An action and the status of its play, both locked until the transaction ends; None: there is no such action.

    The play is locked first, as its end locks it before its actions: so an exit either comes before, or finds the
    action as it is left here.
    """
    play = conn.scalar(select(actions.c.play).where(actions.c.id == action))
    status = conn.scalar(select(plays.c.status).where(plays.c.id == play).with_for_update())
    row = conn.execute(select(actions).where(actions.c.id == action).with_for_update()).one_or_none()
    return None if row is None else (row, status)


def freed(row: Row[Any], *, at: int, now: int, log_clock: bool) -> dict[str, Any]:
    """The columns of an action that somebody lets go: it is due from `at` on, by its partition's clock. `now` is the
    wall clock.

    With the log clock the worker lets a mail to a contact begin (`holds.touch`): then it has no next attempt yet.
    """
    waits = row.channel in NEED_CONSENT and row.contact is not None
    attempt_at = None if waits and log_clock else now
    return {
        "ready_at": at,
        "waits": waits,
        "next_look_at": at if waits else None,
        "next_attempt_at": attempt_at,
    }


def retry(conn: Connection, row: Row[Any], *, at: int, now: int, log_clock: bool) -> None:
    """Send an action again: the same content under the same id, on a schedule that begins anew."""
    columns = freed(row, at=at, now=now, log_clock=log_clock)
    send_again(conn, row.id, tries_before=row.attempts, **columns)
    note(conn, row, HistoryReason.RETRIED, at)
    if columns["next_attempt_at"] is None:
        holds.touch(conn)


def note(conn: Connection, row: Row[Any], reason: HistoryReason, at: int) -> None:
    """Write into the history of its play what somebody decided about an action."""
    made = {"play": row.play, "account": row.account, "step": row.step, "action": row.id}
    conn.execute(insert(history).values(**made, reason=reason.value, at=at))
