"""Turns sending off and on, for all processes at once.

Off takes three steps. The turn itself waits for the beginnings under way, which takes milliseconds; a process that
froze in the middle of one keeps the lock, and its connection is ended, so that its beginning never happens. Then the
leases of all due actions end, so nobody goes on with what it had leased. At last the sends that have begun get a few
seconds to end: most have, by the time of the answer.
"""

import time

from sqlalchemy import Connection

from backbone import notices
from backbone.audit import AuditTrail
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import DatabaseUnavailable
from backbone.telemetry import get_logger
from schemas.notices import NoticeKind
from services.actions.storage import sending
from services.actions.storage.sending import LockBusy, Sending

LOCK_S = 2.0  # a beginning takes milliseconds; whoever takes longer is frozen
ANSWER_S = 8.0  # for the whole turn
TELL_S = 3.0  # for telling the actions that they wait no more
LOOK_S = 0.02
OBJECT = "sending"

log = get_logger("touchline.delivery")


def turn(
    db: Database, clock: Clock, trail: AuditTrail, *, off: bool, reason: str | None, log_clock: bool = False
) -> Sending:
    """Turn the switch; when this returns, it holds for every process. Raises `DatabaseUnavailable`: it may not hold."""
    deadline = time.monotonic() + ANSWER_S
    changed = _committed(db, clock, trail, deadline, off=off, reason=reason, log_clock=log_clock)
    if changed:
        log.warning("sending is off" if off else "sending is on", by=trail.actor)
    try:
        if off:
            _settle(db, clock, deadline)
        else:
            _tell(db)
    except DatabaseUnavailable as error:  # the switch is turned; the rest others do
        log.warning("actions are told of the switch later", error=error)
    with db.read() as conn:
        return sending.current(conn)


def _committed(
    db: Database,
    clock: Clock,
    trail: AuditTrail,
    deadline: float,
    *,
    off: bool,
    reason: str | None,
    log_clock: bool,
) -> bool:
    while True:
        try:
            with db.write() as conn:
                sending.lock_alone(conn, round(LOCK_S * 1000))
                before, by = sending.current(conn), trail.actor
                now = clock.now()
                changed = sending.turn(conn, off=off, by=by, reason=reason, now=now, log_clock=log_clock)
                _notice(conn, now, off=off, by=by, reason=reason)
                after = sending.current(conn)
                if after != before:
                    trail.note(conn, OBJECT, OBJECT, before=_said(before), after=_said(after))
            return changed
        except LockBusy:
            if time.monotonic() + LOCK_S > deadline:
                raise DatabaseUnavailable(
                    "sending could not be switched: a process keeps the lock, and its connection cannot be ended"
                ) from None
            _fence(db)


def _said(switch: Sending) -> dict[str, str | None]:
    return {"status": "off" if switch.off else "on", "reason": switch.reason}


def _fence(db: Database) -> None:
    """End the connections of processes that say nothing. Without the right to do so, the server ends them in time."""
    try:
        with db.write() as conn:
            log.warning("processes that say nothing are fenced", connections=sending.end_holders(conn))
    except Exception as error:  # noqa: BLE001  another role's connection, a server that does not let us
        log.warning("processes that say nothing cannot be fenced", error=error)


def _notice(conn: Connection, now: int, *, off: bool, by: str, reason: str | None) -> None:
    if off:
        detail = f"by the key {by}" + (f": {reason}" if reason else "")
        notices.raise_(conn, NoticeKind.SENDING_OFF, OBJECT, detail, now)
    else:
        notices.clear(conn, NoticeKind.SENDING_OFF, OBJECT, now)


def _settle(db: Database, clock: Clock, deadline: float) -> None:
    """Hold back what is due, and end all leases; then let the sends that have begun end.

    What is due beyond one transaction is held back by the next who would lease it.
    """
    with db.write() as conn:
        sending.park(conn, clock.now())
    while True:
        with db.write() as conn:
            sending.fence(conn, clock.now())
            unsettled = sending.unsettled(conn, clock.now())
        if not unsettled or time.monotonic() > deadline:
            return
        time.sleep(LOOK_S)


def _tell(db: Database) -> None:
    until = time.monotonic() + TELL_S
    more = True
    while more and time.monotonic() < until:
        with db.write() as conn:
            more = sending.unpark(conn) == sending.PARKED
