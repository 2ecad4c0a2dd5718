"""Attempts at actions that are leased (see `leases`): how they begin and how they end. SQL only.

An action goes through `start_attempts` (durable before anything is on the wire) → sending → `finish_attempts` (row,
attempt and the event about them in one transaction). These take lists, so that one transaction serves many actions.
They check the owner, so a process that has lost its lease writes nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import msgspec
from sqlalchemy import Connection

from schemas.play_reasons import ActionReason
from services.actions.channels import CHANNELS
from services.actions.plays.lifecycle_events import about
from services.actions.plays.model import SENDABLE, ActionFacts, OwnEvent
from services.actions.plays.retry_policy import Decision
from services.actions.storage import outbox
from services.actions.storage.sql import Sql, listed
from services.actions.storage.status import Result, close_actions, end_attempts

MAX_DETAIL = 2_000  # characters kept of an attempt's detail

FACTS = ", ".join(f"a.{name}" for name in ActionFacts.__struct_fields__)
# `attempting` stays set until an end is recorded, whoever leases the action: its last attempt may have had an effect.
# The attempt's own row tells whether it is still under way, or was closed as interrupted (`open`).
WORDS = {
    "facts": FACTS,
    "sendable": ", ".join(f"'{status}'" for status in SENDABLE),
    "play_status": "CASE WHEN a.digest_key IS NULL THEN p.status ELSE 'open' END AS play_status",
    "joined": "actions.actions_actions a JOIN actions.actions_plays p ON p.id = a.play",
    "open": "EXISTS (SELECT 1 FROM actions.actions_attempts t WHERE t.action = a.id AND t.n = a.attempts"
    " AND t.ended_at IS NULL)",
}


class Tried(Protocol):
    """What tells whether an action may be tried again."""

    @property
    def attempts(self) -> int: ...
    @property
    def tries_before(self) -> int | None: ...
    @property
    def play_status(self) -> str: ...


class _Ending(ActionFacts, array_like=True, kw_only=True):
    """An action whose attempt has ended, and the place of its play in the log."""

    attempts: int
    due_at: int
    begun_at: int | None
    lease_owner: str | None
    play_status: str
    depth: int | None
    place: int | None


class Finished(msgspec.Struct, kw_only=True, frozen=True):
    """How an attempt ended. `n` is None if none was begun (the action was skipped before)."""

    action: str
    n: int | None
    outcome: str
    decision: Decision
    detail: str = ""


def is_over(row: Tried, *, log_clock: bool) -> bool:
    """Whether an action must not be tried again because its play was exited.

    The exit itself skips actions that were never tried. With the log clock, an action that was due before the exit is
    sent, however late its delivery is (`Cancel.tried_only`). What somebody asked for again never is.
    """
    asked_again = row.tries_before is not None
    return row.play_status == "exited" and (asked_again or (row.attempts > 0 and not log_clock))


def skip_exited(conn: Connection, ids: Sequence[str], now: int) -> None:
    """End actions that get no attempt any more, as their plays were exited."""
    close_actions(conn, ids, "skipped", ActionReason.PLAY_EXITED.value, now)


def leave_uncertain(conn: Connection, ids: Sequence[str], now: int) -> None:
    """End actions whose last attempt may have arrived, and which get no other."""
    close_actions(conn, ids, "uncertain", ActionReason.INTERRUPTED.value, now)


_interrupt = Sql("""
    UPDATE actions.actions_attempts SET ended_at = ?, outcome = 'interrupted', reason = ?
    WHERE action {ids} AND ended_at IS NULL
""")


def interrupt(conn: Connection, ids: Sequence[str], now: int) -> None:
    """Close attempts whose process died, as interrupted."""
    if ids:
        _interrupt.run(conn, now, ActionReason.INTERRUPTED.value, listed(conn, ids))


_not_begun = Sql("UPDATE actions.actions_actions SET attempting = FALSE WHERE id {ids}")


def never_sent(conn: Connection, ids: Sequence[str], now: int) -> None:
    """Record that the attempts at these actions had no effect, so that others may follow. They were under way when
    their process died."""
    if ids:
        interrupt(conn, ids, now)
        _not_begun.run(conn, listed(conn, ids))


class _Mine(msgspec.Struct, array_like=True):
    """An action that this owner has leased. `open`: its last attempt is under way."""

    id: str
    attempts: int
    tries_before: int | None
    open: bool | int
    play_status: str


_mine = Sql(
    """
    SELECT a.id, a.attempts, a.tries_before, {open} AS open, {play_status} FROM {joined}
    WHERE a.id {ids} AND a.lease_owner = ? AND a.status IN ({sendable}) {lock}
""",
    **WORDS,
)
_begin = Sql("""
    UPDATE actions.actions_actions SET attempts = attempts + 1, attempting = TRUE, waits = FALSE,
    begun_at = COALESCE(begun_at, ?), next_look_at = NULL, reason = CASE WHEN waits THEN NULL ELSE reason END
    WHERE id {ids}
""")
_begin_by_log = Sql("""
    UPDATE actions.actions_actions SET attempts = attempts + 1, attempting = TRUE, waits = FALSE,
    begun_at = COALESCE(begun_at, ready_at, due_at), next_look_at = NULL WHERE id {ids}
""")
_write_begin = Sql("""
    INSERT INTO actions.actions_attempts (action, n, started_at)
    SELECT id, attempts, ? FROM actions.actions_actions WHERE id {ids}
""")


def start_attempts(
    conn: Connection, ids: Sequence[str], owner: str, now: int, *, log_clock: bool = False
) -> dict[str, int]:
    """Begin attempts; returns the number (from 1) of each that may begin, by action.

    An action that is missing in the answer must not be sent: its lease was lost, its play was exited, or its account
    was erased.
    """
    rows = _mine.read(conn, _Mine, listed(conn, ids), owner)
    over = {row.id for row in rows if is_over(row, log_clock=log_clock)}
    skip_exited(conn, sorted(over), now)
    # An attempt under way was begun by a commit whose success we did not hear of: it keeps its number.
    known = {row.id: row.attempts for row in rows if row.open and row.id not in over}
    new = {row.id: row.attempts + 1 for row in rows if not row.open and row.id not in over}
    _start(conn, list(new), now, log_clock=log_clock)
    return known | new


def _start(conn: Connection, ids: Sequence[str], now: int, *, log_clock: bool) -> None:
    if not ids:
        return
    parameter = listed(conn, ids)
    if log_clock:
        _begin_by_log.run(conn, parameter)
    else:
        _begin.run(conn, now, parameter)
    write_begin(conn, ids, now)


def write_begin(conn: Connection, ids: Sequence[str], now: int) -> None:
    """Write the rows of attempts that begin now; the actions' rows know of them already."""
    _write_begin.run(conn, now, listed(conn, ids))


_forget = Sql("DELETE FROM actions.actions_attempts WHERE action {ids} AND ended_at IS NULL")
_take_back = Sql("""
    UPDATE actions.actions_actions SET attempts = attempts - 1, attempting = FALSE, lease_owner = NULL,
    lease_until = NULL, begun_at = CASE WHEN attempts > 1 THEN begun_at END WHERE id {ids}
""")


def give_back(conn: Connection, ids: Sequence[str], owner: str, now: int, *, log_clock: bool = False) -> None:
    """Forget attempts that this owner began and did not send, and let anybody lease their actions.

    An exit skips no action under way, so those whose play has been exited meanwhile are skipped here.
    """
    rows = [row for row in _mine.read(conn, _Mine, listed(conn, ids), owner) if row.open]
    parameter = listed(conn, [row.id for row in rows])
    _forget.run(conn, parameter)
    _take_back.run(conn, parameter)
    exited = [row for row in rows if row.play_status == "exited"]
    over = [row.id for row in exited if row.attempts > 1 or row.tries_before is not None or not log_clock]
    skip_exited(conn, over, now)


_ending = Sql(
    """
    SELECT {facts}, a.attempts, a.due_at, a.begun_at, a.lease_owner, {play_status}, p.depth, p.place
    FROM {joined} WHERE a.id {ids} AND a.status IN ({sendable}) {lock}
""",
    **WORDS,
)
_write_end = Sql("""
    UPDATE actions.actions_attempts SET ended_at = ?, outcome = ?, reason = ?, detail = ?
    WHERE action {ids} AND n = ? AND ended_at IS NULL
""")


def finish_attempts(
    conn: Connection, ends: Sequence[Finished], owner: str, now: int, *, partitions: int, log_clock: bool
) -> dict[str, Decision]:
    """Record how attempts of this owner ended, and put the events about them into the outbox.

    Returns the decision that was written for each action. With the log clock, an action's end carries the time at
    which it began, which follows from the log alone. An action whose lease the owner has lost meanwhile stays as it is.
    """
    written: dict[str, Decision] = {}
    events: list[OwnEvent] = []
    # Many end alike: one statement writes all of these.
    tried: dict[tuple[str, str | None, str, int], list[str]] = defaultdict(list)
    ended: dict[Result, list[str]] = defaultdict(list)
    rows = {row.id: row for row in _ending.read(conn, _Ending, listed(conn, [end.action for end in ends]))}
    for end in ends:
        row = rows.get(end.action)
        if row is None or not _still(row, end, owner) or end.action in written:
            continue  # the action was erased, or another process has taken it over
        decision = end.decision
        if end.n is not None:
            detail = end.detail[:MAX_DETAIL].replace("\0", "")
            tried[end.outcome, decision.reason, detail, end.n].append(end.action)
        if decision.status == "retrying" and row.play_status == "exited":
            decision = Decision(status="skipped", reason=ActionReason.PLAY_EXITED)
        moment = (row.begun_at or row.due_at) if log_clock else now
        again = decision.status == "retrying"
        due, done = (decision.next_attempt_at, None) if again else (None, moment)
        ended[decision.status, decision.reason, due, done].append(end.action)
        written[end.action] = decision
        events += _event(row, decision, moment)
    for (outcome, reason, detail, n), ids in tried.items():
        _write_end.run(conn, now, outcome, reason, detail, listed(conn, ids), n)
    end_attempts(conn, ended)
    outbox.emit(conn, events, partitions)
    return written


def _still(row: _Ending, end: Finished, owner: str) -> bool:
    """Whether this is the end of the action's last attempt, and this owner still has the action leased."""
    return row.lease_owner == owner and (end.n is None or end.n == row.attempts)


def _event(row: _Ending, decision: Decision, moment: int) -> list[OwnEvent]:
    kind = CHANNELS[row.channel].event(decision.status, decision.reason)
    if kind is None:
        return []
    return [
        about(
            kind,
            row,
            time=moment,
            depth=row.depth,
            place=row.place,
            more={"reason": decision.reason},
        )
    ]
