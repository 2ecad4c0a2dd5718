"""Leases of due actions: an action belongs to one process for a while. SQL only.

A due action goes through `take_due` → `lease`, or `start_leased` where an attempt at it begins in the same statement.
A lease that is not extended runs out, and anybody may take the action over.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, update

from schemas.play_reasons import ActionReason
from services.actions.plays.model import ActionFacts, Leased
from services.actions.storage.attempts import (
    FACTS,
    WORDS,
    interrupt,
    is_over,
    leave_uncertain,
    skip_exited,
    write_begin,
)
from services.actions.storage.due import Looks, Wanted, due_ids
from services.actions.storage.sql import Sql, Unreadable, listed
from services.actions.tables import actions

LEASE_US = 20_000_000
PUT_BACK_US = 1_000_000  # how long an action that is put back waits behind others

_COLUMNS = f"{FACTS}, a.topic, a.attempts, a.due_at, a.ready_at, a.begun_at, a.waits, a.tries_before"
_WORDS = {
    **WORDS,
    "off": ActionReason.SENDING_OFF.value,
    "columns": _COLUMNS,
    "leased": f"{_COLUMNS}, a.attempting",
}


class _Row(ActionFacts, array_like=True, kw_only=True):
    """An action as it is read, in the order of `_COLUMNS`."""

    topic: str
    attempts: int
    due_at: int
    ready_at: int | None
    begun_at: int | None
    waits: bool | int
    tries_before: int | None
    attempting: bool | int


class _Content(_Row, array_like=True, kw_only=True):
    rendered: str | None
    play_status: str


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
    `skipped`, or `uncertain` if its last attempt may have had an effect. Raises `Unreadable`.
    """
    if in_doubt:
        ids: Sequence[str] = _due_in_doubt.run(conn, now, now, limit).scalars().all()
    else:
        ids = due_ids(conn, now, Wanted(limit), Looks()).ids if chosen is None else chosen
    found = {row.id: row for row in _content_of.read(conn, _Content, listed(conn, ids))} if ids else {}
    if alone := set(ids) - found.keys():
        raise Unreadable(dict.fromkeys(alone, ("play",)))
    rows = [found[one] for one in ids]
    over = {row.id for row in rows if is_over(row, log_clock=log_clock)}
    contents = _contents(row for row in rows if row.id not in over)
    interrupt(conn, [row.id for row in rows if row.attempting], now)
    skip_exited(conn, [row.id for row in rows if row.id in over and not row.attempting], now)
    leave_uncertain(conn, [row.id for row in rows if row.id in over and row.attempting], now)
    return [_leased(row, contents[row.id], log_clock=log_clock) for row in rows if row.id not in over]


def lease(conn: Connection, due: Sequence[Leased], owner: str, now: int) -> None:
    """Lease due actions."""
    if due:
        _lease.run(conn, owner, now + LEASE_US, listed(conn, [one.id for one in due]))


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


def _contents(rows: Iterable[_Content]) -> dict[str, dict[str, Any]]:
    """What is to be sent of each action. Raises `Unreadable`."""
    found = {row.id: _content(row.rendered) for row in rows}
    contents = {one: content for one, content in found.items() if content is not None}
    if len(contents) < len(found):
        raise Unreadable(dict.fromkeys(found.keys() - contents.keys(), ("rendered",)))
    return contents


def _content(text: str | None) -> dict[str, Any] | None:
    """The content; None: it is no JSON object."""
    try:
        found = msgspec.json.decode(text or "null")
    except (msgspec.DecodeError, RecursionError):
        try:  # NaN and half a surrogate pair are read by Python's own JSON alone
            found = json.loads(text or "null")
        except (ValueError, RecursionError):
            return None
    return {} if found is None else found if isinstance(found, dict) else None


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
        ids, until = [one.id for one in due], now + LEASE_US
        parameter = listed(conn, ids)
        _no_longer_off.run(conn, parameter)
        if log_clock:
            _lease_and_begin_by_log.run(conn, owner, until, parameter)
        else:
            _lease_and_begin.run(conn, owner, until, now, parameter)
        write_begin(conn, ids, now)
    return {one.id: one.attempts + 1 for one in due}


_extend = Sql("UPDATE actions.actions_actions SET lease_until = ? WHERE id {ids} AND lease_owner = ?")


def extend(conn: Connection, ids: Sequence[str], owner: str, until: int) -> None:
    """Extend leases, for sends that take their time."""
    if ids:
        _extend.run(conn, until, listed(conn, ids), owner)


def release_all(conn: Connection) -> None:
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


def held_by(conn: Connection, owner: str, now: int) -> list[Leased]:
    """The actions that an owner has leased, without their content; `interrupted`: an attempt is under way. Raises
    `Unreadable`."""
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
