"""What the delivery loop reads and writes: leases of due actions, attempts, and how they ended. SQL only.

An action goes through `take_due` → `lease` (it is ours for a while) → `start_attempts` (durable before anything is on
the wire) → sending → `finish_attempts` (row, attempt and the event about them in one transaction); `start_leased` does
two steps at once. These take lists, so that one transaction serves many actions. They check the owner, so a process
that has lost its lease writes nothing.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, update

from schemas.play_reasons import ActionReason
from services.actions.channels import CHANNELS
from services.actions.plays.lifecycle_events import about
from services.actions.plays.model import SENDABLE, Leased, OwnEvent
from services.actions.plays.retry_policy import Decision
from services.actions.storage import outbox
from services.actions.storage.due import Looks, Wanted, due_ids
from services.actions.storage.sql import Sql, listed
from services.actions.storage.status import Result, close_actions, end_attempts
from services.actions.tables import actions

LEASE_US = 20_000_000
PUT_BACK_US = 1_000_000  # how long an action that is put back waits behind others
MAX_DETAIL = 2_000  # characters kept of an attempt's detail

# `attempting` stays set until an end is recorded, whoever leases the action: its last attempt may have had an effect.
# The attempt's own row tells whether it is still under way, or was closed as interrupted (`open`).
_COLUMNS = (
    "a.id, a.play, a.playbook, a.account, a.contact, a.channel, a.step,"  # as `Leased` has them
    " a.recipient, a.topic, a.attempts, a.due_at, a.ready_at, a.begun_at, a.waits, a.tries_before"
)
_WORDS = {
    "sendable": ", ".join(f"'{status}'" for status in SENDABLE),
    "off": ActionReason.SENDING_OFF.value,
    "columns": _COLUMNS,
    "leased": f"{_COLUMNS}, a.attempting",
    "play_status": "CASE WHEN a.digest_key IS NULL THEN p.status ELSE 'open' END AS play_status",
    "joined": "actions.actions_actions a JOIN actions.actions_plays p ON p.id = a.play",
    "open": "EXISTS (SELECT 1 FROM actions.actions_attempts t WHERE t.action = a.id AND t.n = a.attempts"
    " AND t.ended_at IS NULL)",
}


class _Row(msgspec.Struct, array_like=True):
    """An action as it is read, in the order of `_COLUMNS`."""

    id: str
    play: str
    playbook: str
    account: str
    contact: str | None
    channel: str
    step: str
    recipient: str | None
    topic: str
    attempts: int
    due_at: int
    ready_at: int | None
    begun_at: int | None
    waits: bool | int
    tries_before: int | None
    attempting: bool | int


class _Content(_Row, array_like=True):
    rendered: str | None
    play_status: str


class _Ending(msgspec.Struct, array_like=True):
    """An action whose attempt has ended, and the place of its play in the log."""

    id: str
    play: str
    playbook: str
    account: str
    contact: str | None
    channel: str
    step: str
    status: str
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


# First the ids, then the contents: sorting a long backlog with its mails would move all of them through memory.
_due_in_doubt = Sql(
    """
    SELECT a.id FROM actions.actions_actions a
    WHERE a.next_attempt_at <= ? AND a.status IN ({sendable}) AND (a.lease_until IS NULL OR a.lease_until < ?)
    AND a.attempting AND (a.reason IS NULL OR a.reason <> '{off}')
    ORDER BY a.next_attempt_at, a.seq LIMIT ? {lock_free}
""",
    **_WORDS,
)
_content_of = Sql(
    """
    SELECT {leased}, CAST(a.rendered AS TEXT) AS rendered, {play_status} FROM {joined}
    WHERE a.id {ids}
""",
    **_WORDS,
)
_lease = Sql(
    """
    UPDATE actions.actions_actions SET lease_owner = ?, lease_until = ?,
    reason = CASE WHEN reason = '{off}' THEN NULL ELSE reason END WHERE id {ids}
""",
    **_WORDS,
)


def take_due(
    conn: Connection,
    now: int,
    limit: int,
    *,
    log_clock: bool = False,
    in_doubt: bool = False,
    chosen: Sequence[str] | None = None,
) -> list[Leased]:
    """Up to `limit` due actions that nobody has leased, the longest due first, for `lease` or `start_leased`.

    `chosen`: those of `due_ids`, if the caller has asked for them already. `in_doubt`: only actions whose process died
    in an attempt; even while sending is off it must be recorded what became of them. Actions whose lease has expired
    are taken as well. An action that was tried before and whose play has been exited since is not taken but ended:
    `skipped`, or `uncertain` if its last attempt may have had an effect.
    """
    if in_doubt:
        ids: Sequence[str] = _due_in_doubt.run(conn, now, now, limit).scalars().all()
    else:
        ids = due_ids(conn, now, Wanted(limit), Looks()).ids if chosen is None else chosen
    found = {row.id: row for row in _content_of.read(conn, _Content, listed(conn, ids))} if ids else {}
    rows = [found[one] for one in ids if one in found]
    interrupt(conn, [row.id for row in rows if row.attempting], now)
    over = {row.id for row in rows if _over(row, log_clock=log_clock)}
    _skip_exited(conn, [row.id for row in rows if row.id in over and not row.attempting], now)
    _leave_uncertain(conn, [row.id for row in rows if row.id in over and row.attempting], now)
    return [_leased(row, _content(row.rendered), log_clock=log_clock) for row in rows if row.id not in over]


def lease(conn: Connection, due: Sequence[Leased], owner: str, now: int, until: int | None = None) -> None:
    """Lease due actions, until that moment or for `LEASE_US`."""
    if due:
        until = now + LEASE_US if until is None else until
        _lease.run(conn, owner, until, listed(conn, [one.id for one in due]))


def _leased(row: _Row, content: dict[str, Any], *, log_clock: bool = False) -> Leased:
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
        tries_before=row.tries_before or 0,
        due_at=row.due_at,
        begun_at=(row.ready_at or row.due_at) if log_clock and row.begun_at is None else row.begun_at,
        waits=bool(row.waits),
        rendered=content,
        interrupted=bool(row.attempting),
    )


def _content(text: str | None) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text or "null")
    except msgspec.DecodeError:  # NaN or half a surrogate pair, which only Python's own JSON reads
        found = json.loads(text or "null")
    return found or {}


def _over(row: "_Content | _Mine", *, log_clock: bool) -> bool:
    """Whether an action must not be tried again because its play was exited.

    The exit itself skips actions that were never tried. With the log clock, an action that was due before the exit is
    sent, however late its delivery is (`Cancel.tried_only`). What somebody asked for again never is.
    """
    asked_again = row.tries_before is not None
    return row.play_status == "exited" and (asked_again or (row.attempts > 0 and not log_clock))


def _skip_exited(conn: Connection, ids: Sequence[str], now: int) -> None:
    close_actions(conn, ids, "skipped", ActionReason.PLAY_EXITED.value, now)


def _leave_uncertain(conn: Connection, ids: Sequence[str], now: int) -> None:
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


_extend = Sql("UPDATE actions.actions_actions SET lease_until = ? WHERE id {ids} AND lease_owner = ?")


def extend_leases(conn: Connection, ids: Sequence[str], owner: str, until: int) -> None:
    """Extend leases, for sends that take their time."""
    if ids:
        _extend.run(conn, until, listed(conn, ids), owner)


def release_leases(conn: Connection) -> None:
    """End all leases, when a process starts that is the only one on its database."""
    conn.execute(update(actions).where(actions.c.lease_until.is_not(None)).values(lease_until=0))


_held = Sql(
    """
    SELECT {columns}, {open} AS attempting FROM actions.actions_actions a
    WHERE a.next_attempt_at <= ? AND a.status IN ({sendable}) AND a.lease_owner = ? {lock}
""",
    **_WORDS,
)
_release = Sql("UPDATE actions.actions_actions SET lease_until = 0 WHERE id {ids}")
_not_begun = Sql("UPDATE actions.actions_actions SET attempting = FALSE WHERE id {ids}")


def held_by(conn: Connection, owner: str, now: int) -> list[Leased]:
    """The actions that an owner has leased, without their content; `interrupted`: an attempt is under way."""
    return [_leased(row, {}) for row in _held.read(conn, _Row, now, owner)]


def release(conn: Connection, ids: Sequence[str]) -> None:
    """End the leases of these actions, whose owner is dead."""
    if ids:
        _release.run(conn, listed(conn, ids))


_let_go = Sql(
    """
    UPDATE actions.actions_actions AS a SET lease_owner = NULL, lease_until = NULL
    WHERE a.lease_owner = ? AND NOT {open}
""",
    **_WORDS,
)


def let_go(conn: Connection, owner: str) -> None:
    """Let others lease at once the actions that an owner has leased and not begun."""
    _let_go.run(conn, owner)


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
    **_WORDS,
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
    over = {row.id for row in rows if _over(row, log_clock=log_clock)}
    _skip_exited(conn, sorted(over), now)
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
    _write_begin.run(conn, now, parameter)


# No column of an index is written that need not be. What is leased so waits for nothing (`waits`).
_lease_and_begin = Sql("""
    UPDATE actions.actions_actions SET lease_owner = ?, lease_until = ?, attempts = attempts + 1, attempting = TRUE,
    begun_at = COALESCE(begun_at, ?) WHERE id {ids}
""")
_lease_and_begin_by_log = Sql("""
    UPDATE actions.actions_actions SET lease_owner = ?, lease_until = ?, attempts = attempts + 1, attempting = TRUE,
    begun_at = COALESCE(begun_at, ready_at, due_at) WHERE id {ids}
""")
_no_longer_off = Sql(
    "UPDATE actions.actions_actions SET reason = NULL WHERE id {ids} AND reason = '{off}'", **_WORDS
)


def start_leased(
    conn: Connection, due: Sequence[Leased], owner: str, now: int, *, log_clock: bool = False
) -> dict[str, int]:
    """Lease due actions and begin attempts at them, in one statement; returns the numbers of the attempts.

    None of the actions is `interrupted` or `waits`.
    """
    if due:
        ids, until = listed(conn, [one.id for one in due]), now + LEASE_US
        _no_longer_off.run(conn, ids)
        if log_clock:
            _lease_and_begin_by_log.run(conn, owner, until, ids)
        else:
            _lease_and_begin.run(conn, owner, until, now, ids)
        _write_begin.run(conn, now, ids)
    return {one.id: one.attempts + 1 for one in due}


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
    _skip_exited(conn, over, now)


_ending = Sql(
    """
    SELECT a.id, a.play, a.playbook, a.account, a.contact, a.channel, a.step, a.status, a.attempts, a.due_at,
    a.begun_at, a.lease_owner, {play_status}, p.depth, p.place FROM {joined} WHERE a.id {ids} {lock}
""",
    **_WORDS,
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
    mine: bool = row.status in SENDABLE and row.lease_owner == owner
    return mine and (end.n is None or end.n == row.attempts)


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
