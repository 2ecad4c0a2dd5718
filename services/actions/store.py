"""What the delivery loop reads and writes: leases of due actions, attempts, and how they ended. SQL only.

One action goes: `lease_due` (ours for a while) → `start_attempts` (durable before anything leaves the house)
→ sending → `finish_attempts` (row, attempt and the event about it in one transaction). All take lists: one
transaction serves many.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, or_, select, update
from sqlalchemy import bindparam as bind

from schemas.play_reasons import ActionReason
from services.actions import store_outbox
from services.actions.plays.delivery import Decision
from services.actions.plays.model import SENDABLE, OwnEvent
from services.actions.plays.telling import about, kind_of_end
from services.actions.tables import actions, attempts, plays

LEASE_US = 60_000_000
CHUNK = 500
MAX_DETAIL = 2_000  # characters kept of an attempt's detail


class Leased(msgspec.Struct, kw_only=True, frozen=True):
    """An action to carry out; `rendered` is its final content. Times in microseconds, wall clock."""

    id: str
    play: str
    playbook: str
    account: str
    contact: str | None
    channel: str
    step: str
    recipient: str | None
    topic: str
    attempts: int  # begun so far
    due_at: int
    rendered: dict[str, Any]
    interrupted: bool  # the last attempt began and its process died: it may have had its effect


class Finished(msgspec.Struct, kw_only=True, frozen=True):
    """How an attempt ended. `n` None: none was begun (the action was skipped before)."""

    action: str
    n: int | None
    outcome: str
    decision: Decision
    detail: str = ""


def lease_due(
    conn: Connection, now: int, owner: str, limit: int, lease: int = LEASE_US, *, log_clock: bool = False
) -> list[Leased]:
    """Take up to `limit` actions that are due and nobody holds, for `lease` microseconds, the longest due
    first.

    Those tried before whose play has been exited since are marked skipped instead. Expired leases are taken over.
    """
    query = (
        select(actions, plays.c.status.label("play_status"))
        .join(plays, plays.c.id == actions.c.play)
        .where(
            actions.c.next_attempt_at <= now,
            actions.c.status.in_(SENDABLE),
            or_(actions.c.lease_until.is_(None), actions.c.lease_until < now),
        )
        .order_by(actions.c.next_attempt_at, actions.c.seq)
        .limit(limit)
        .with_for_update(of=actions, skip_locked=True)
    )
    rows = conn.execute(query).all()
    _interrupted(conn, [row.id for row in rows if row.attempting], now)
    over = {row.id for row in rows if _over(row.play_status, row.attempts, log_clock=log_clock)}
    _skip_exited(conn, [row.id for row in rows if row.id in over and not row.attempting], now)
    _leave_uncertain(conn, [row.id for row in rows if row.id in over and row.attempting], now)
    mine = [row for row in rows if row.id not in over]
    _update(conn, [row.id for row in mine], lease_owner=owner, lease_until=now + lease, attempting=False)
    return [_leased(row) for row in mine]


def _leased(row: Row[Any]) -> Leased:
    return Leased(
        id=row.id,
        play=row.play,
        playbook=row.playbook,
        account=row.account,
        contact=row.contact,
        channel=row.channel,
        step=row.step,
        recipient=row.recipient,
        topic=row.topic,
        attempts=row.attempts,
        due_at=row.due_at,
        rendered=row.rendered or {},
        interrupted=row.attempting,
    )


def _update(conn: Connection, ids: Sequence[str], **values: Any) -> None:
    for start in range(0, len(ids), CHUNK):
        conn.execute(update(actions).where(actions.c.id.in_(ids[start : start + CHUNK])).values(**values))


def _over(play_status: str, attempts: int, *, log_clock: bool) -> bool:
    """Whether an action must not be tried again since its play was exited.

    One never tried was skipped by the exit itself. With the log clock what was to be sent before the exit is sent,
    however late it is carried out (`Cancel.tried_only`).
    """
    return play_status == "exited" and attempts > 0 and not log_clock


def _skip_exited(conn: Connection, ids: Sequence[str], now: int) -> None:
    _update(
        conn, ids, status="skipped", reason=ActionReason.PLAY_EXITED, done_at=now, next_attempt_at=None,
        lease_owner=None, lease_until=None, attempting=False,
    )  # fmt: skip


def _leave_uncertain(conn: Connection, ids: Sequence[str], now: int) -> None:
    """Their last attempt may have arrived, and there will be no other."""
    _update(
        conn, ids, status="uncertain", reason=ActionReason.INTERRUPTED, done_at=now, next_attempt_at=None,
        lease_owner=None, lease_until=None, attempting=False,
    )  # fmt: skip


def _interrupted(conn: Connection, ids: Sequence[str], now: int) -> None:
    """Close attempts whose process died."""
    for start in range(0, len(ids), CHUNK):
        conn.execute(
            update(attempts)
            .where(attempts.c.action.in_(ids[start : start + CHUNK]), attempts.c.ended_at.is_(None))
            .values(ended_at=now, outcome="interrupted", reason=ActionReason.INTERRUPTED)
        )


def extend_leases(conn: Connection, ids: Sequence[str], owner: str, until: int) -> None:
    """Hold leased actions longer: for sends that take their time."""
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        conn.execute(
            update(actions)
            .where(actions.c.id.in_(part), actions.c.lease_owner == owner)
            .values(lease_until=until)
        )


def release_leases(conn: Connection) -> None:
    """End all leases: for the start of a process that is the only one on its database."""
    conn.execute(update(actions).where(actions.c.lease_until.is_not(None)).values(lease_until=0))


def start_attempts(
    conn: Connection, ids: Sequence[str], owner: str, now: int, *, log_clock: bool = False
) -> dict[str, int]:
    """Begin attempts; the number (from 1) of each that may begin.

    What is missing in the answer must not be sent: the lease was lost, the play was exited, the account
    erased.
    """
    begun: dict[str, int] = {}
    for start in range(0, len(ids), CHUNK):
        query = (
            select(actions.c.id, actions.c.attempts, plays.c.status.label("play_status"))
            .join(plays, plays.c.id == actions.c.play)
            .where(
                actions.c.id.in_(ids[start : start + CHUNK]),
                actions.c.lease_owner == owner,
                actions.c.status.in_(SENDABLE),
            )
            .with_for_update(of=actions)
        )
        rows = conn.execute(query).all()
        over = {row.id for row in rows if _over(row.play_status, row.attempts, log_clock=log_clock)}
        _skip_exited(conn, sorted(over), now)
        begun |= {row.id: row.attempts + 1 for row in rows if row.id not in over}
    if begun:
        _update(conn, list(begun), attempts=actions.c.attempts + 1, attempting=True)
        conn.execute(
            insert(attempts), [{"action": one, "n": n, "started_at": now} for one, n in begun.items()]
        )
    return begun


def finish_attempts(
    conn: Connection, ends: Sequence[Finished], now: int, *, partitions: int, log_clock: bool
) -> dict[str, str]:
    """Record how attempts ended, and put the events about them into the outbox; the final status of each
    action.

    With the log clock an action's end carries its due time, which follows from the log alone.
    """
    statuses: dict[str, str] = {}
    events: list[OwnEvent] = []
    tried: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    rows = _rows(conn, [end.action for end in ends])
    for end in ends:
        row = rows.get(end.action)
        if row is None:
            continue  # erased in the meantime
        tried += _attempt_end(end, now)
        if row.status not in SENDABLE or end.action in statuses:
            continue  # ended by somebody who took the lease over
        decision = end.decision
        if decision.status == "retrying" and row.play_status == "exited":
            decision = Decision(status="skipped", reason=ActionReason.PLAY_EXITED)
        moment = row.due_at if log_clock else now
        ended.append(_action_end(end.action, decision, moment))
        statuses[end.action] = decision.status
        events += _event(row, decision, moment)
    if tried:
        conn.execute(_update_attempt, tried)
    if ended:
        conn.execute(_update_action, ended)
    store_outbox.emit(conn, events, partitions)
    return statuses


def _rows(conn: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    found: dict[str, Row[Any]] = {}
    for start in range(0, len(ids), CHUNK):
        query = (
            select(*_BUT_CONTENT, plays.c.status.label("play_status"))
            .join(plays, plays.c.id == actions.c.play)
            .where(actions.c.id.in_(ids[start : start + CHUNK]))
            .with_for_update(of=actions)
        )
        found.update({row.id: row for row in conn.execute(query)})
    return found


_BUT_CONTENT = [column for column in actions.c if column.name != "rendered"]
_update_attempt = (
    update(attempts)
    .where(attempts.c.action == bind("b_action"), attempts.c.n == bind("b_n"))
    .values({name: bind(f"b_{name}") for name in ("ended_at", "outcome", "reason", "detail")})
)
_update_action = (
    update(actions)
    .where(actions.c.id == bind("b_id"))
    .values({name: bind(f"b_{name}") for name in ("status", "reason", "next_attempt_at", "done_at")})
    .values(lease_owner=None, lease_until=None, attempting=False)
)


def _attempt_end(end: Finished, now: int) -> list[dict[str, Any]]:
    if end.n is None:
        return []
    detail = end.detail[:MAX_DETAIL].replace("\0", "")
    found = {"action": end.action, "n": end.n, "ended_at": now, "outcome": end.outcome}
    return [_bound(found | {"reason": end.decision.reason, "detail": detail})]


def _action_end(action: str, decision: Decision, moment: int) -> dict[str, Any]:
    again = decision.status == "retrying"
    return _bound(
        {
            "id": action,
            "status": decision.status,
            "reason": decision.reason,
            "next_attempt_at": decision.next_attempt_at if again else None,
            "done_at": None if again else moment,
        }
    )


def _bound(values: dict[str, Any]) -> dict[str, Any]:
    return {f"b_{name}": value for name, value in values.items()}


def _event(row: Row[Any], decision: Decision, moment: int) -> list[OwnEvent]:
    kind = kind_of_end(row.channel, decision.status, decision.reason)
    if kind is None:
        return []
    return [
        about(
            kind,
            action=row.id,
            play=row.play,
            playbook=row.playbook,
            step=row.step,
            account=row.account,
            contact=row.contact,
            time=moment,
            more={"reason": decision.reason},
        )
    ]
