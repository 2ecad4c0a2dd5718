"""Actions whose rows cannot be read: each of them ends, so that the others go on. SQL only.

Touchline writes no such row. It comes from a damaged file or a change by hand: SQLite takes any value in any column,
and JSON need not be an object.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from schemas.play_reasons import ActionReason
from services.actions.channels import CHANNELS
from services.actions.plays.lifecycle_events import about
from services.actions.plays.model import ActionFacts
from services.actions.storage import outbox
from services.actions.storage.attempts import WORDS, interrupt
from services.actions.storage.sql import Sql, listed
from services.actions.storage.status import close_actions


class Over(NamedTuple):
    """An action that has ended, since these columns cannot be read."""

    id: str
    columns: list[str]
    channel: str
    status: str
    reason: str


class _Row(ActionFacts, array_like=True, kw_only=True):
    """What is told of an action; None where it cannot be read."""

    attempting: bool | int
    due_at: int
    begun_at: int | None
    depth: int | None
    place: int | None


_row = Sql(
    """
    SELECT {facts}, a.attempting, a.due_at, a.begun_at, p.depth, p.place
    FROM actions.actions_actions a LEFT JOIN actions.actions_plays p ON p.id = a.play
    WHERE a.id {ids} AND a.status IN ({sendable}) {lock}
""",
    **WORDS,
)
_name = Sql("""
    UPDATE actions.actions_actions SET id = 'act_unreadable_' || seq WHERE id = ? OR id = CAST(? AS TEXT) RETURNING id
""")
_note = Sql("""
    INSERT INTO actions.actions_attempts (action, n, started_at, ended_at, outcome, reason, detail)
    SELECT ?, COALESCE(max(n), 0) + 1, ?, ?, 'permanent', ?, ? FROM actions.actions_attempts WHERE action = ?
""")
_count = Sql("""
    UPDATE actions.actions_actions AS a SET
    attempts = (SELECT max(n) FROM actions.actions_attempts t WHERE t.action = a.id) WHERE a.id = ?
""")
_empty = Sql("UPDATE actions.actions_actions SET rendered = NULL WHERE id = ?")


def end(
    conn: Connection, odd: Mapping[Any, Collection[str]], now: int, *, partitions: int, log_clock: bool
) -> list[Over]:
    """End these actions (see `Unreadable`), as far as they are still to be sent, and put the events about them into the
    outbox.

    They have failed; but one whose last attempt may have had an effect is `uncertain`. The history says what cannot be
    read. Content that is not JSON is dropped, or the action could not be shown either.
    """
    over: list[Over] = []
    for key in sorted(odd, key=str):
        ids = [key] if isinstance(key, str) else list(_name.run(conn, key, key).scalars())
        for values, more in _row.apart(conn, _Row, listed(conn, ids)):
            values |= dict.fromkeys(more)
            columns = sorted({*odd[key], *more})
            over.append(_ended(conn, _Row(**values), columns, now, partitions, log_clock=log_clock))
    return over


def _ended(
    conn: Connection, row: _Row, columns: list[str], now: int, partitions: int, *, log_clock: bool
) -> Over:
    tried = row.attempting != 0  # or nobody can tell
    status, reason = (
        ("uncertain", ActionReason.INTERRUPTED) if tried else ("failed", ActionReason.TEMPLATE_ERROR)
    )
    moment = (row.begun_at or row.due_at or now) if log_clock else now
    interrupt(conn, [row.id], now)
    why = f"what is stored of it cannot be read: {', '.join(columns)}"
    _note.run(conn, row.id, now, now, ActionReason.TEMPLATE_ERROR.value, why, row.id)
    _count.run(conn, row.id)
    if "rendered" in columns:
        _empty.run(conn, row.id)
    close_actions(conn, [row.id], status, reason.value, moment)
    spec = CHANNELS.get(row.channel)
    kind = None if spec is None else spec.event(status, reason.value)
    if kind is not None and None not in (row.play, row.playbook, row.step, row.account):
        more = {"reason": reason.value}
        outbox.emit(
            conn,
            [about(kind, row, time=moment, depth=row.depth, place=row.place, more=more)],
            partitions,
        )
    return Over(row.id, columns, str(row.channel), status, reason.value)
