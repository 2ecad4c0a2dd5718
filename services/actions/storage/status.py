"""Every change of a stored status, of plays, actions and tasks. SQL only.

All statements that set a status are here (a house test holds that), and `change_status` runs them. Whatever must count
or report every change belongs there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Update, func, insert, or_, select, update
from sqlalchemy import bindparam as bind

from backbone.database import insert_unless_there
from schemas.play_reasons import ActionReason, PlayReason
from services.actions.plays.model import OPEN_TASK, SENDABLE, Cancel, CloseTasks
from services.actions.storage.sql import Sql, listed
from services.actions.tables import actions, plays, tasks

Row = Mapping[str, Any]
Result = tuple[str, str | None, int | None, int | None]  # status, reason, next attempt, end (microseconds)


def change_status(conn: Connection, statement: Insert | Update | Sql, given: Any) -> None:
    """Run a statement that sets a status: once with a mapping, or once for each item of a list.

    Each `given` item has the status and the reason: a mapping under these names, a tuple of `Sql` in its first two
    places. One statement may set them for many rows.
    """
    if isinstance(statement, Sql):
        statement.each(conn, given)
    else:
        conn.execute(statement, given)


# -- plays

_CHANGED = (
    "status", "reason", "step", "ended_at", "due_at", "until", "dated", "came",
    "started_at", "held_at", "released", "counts", "tier", "topic", "playbook_version", "templates", "watched",
    "began_at", "goal_until", "goal_reached_at", "waited",
)  # fmt: skip
_change_play = update(plays).where(plays.c.id == bind("b_id"))


def new_plays(conn: Connection, rows: Sequence[Row]) -> None:
    """Insert plays that started, are held or were skipped, in the order that their `seq` is to have."""
    change_status(conn, insert(plays), rows)


def change_plays(conn: Connection, rows: Sequence[Row]) -> None:
    """Update plays that began after they were held, went on or ended, each given as its row is now."""
    given = [{"b_id": row["id"], **{name: row[name] for name in _CHANGED}} for row in rows]
    change_status(conn, _change_play, given)


def discard_plays(conn: Connection, which: Sequence[ColumnElement[bool]], now: int) -> int:
    """Skip the held plays that fit the conditions, as discarded; returns how many."""
    gone = {"status": "skipped", "reason": PlayReason.DISCARDED.value, "ended_at": now, "due_at": None}
    found = conn.scalar(select(func.count()).select_from(plays).where(*which)) or 0
    change_status(conn, update(plays).where(*which), gone)
    return found


# -- actions

_end = Sql("""
    UPDATE actions.actions_actions SET status = ?, reason = ?, next_attempt_at = ?, done_at = ?,
    lease_owner = NULL, lease_until = NULL, attempting = FALSE, waits = FALSE, next_look_at = NULL,
    disabled_since = NULL WHERE id {ids}
""")
_close = Sql("""
    UPDATE actions.actions_actions SET status = ?, reason = ?, done_at = ?, next_attempt_at = NULL,
    lease_owner = NULL, lease_until = NULL, attempting = FALSE, waits = FALSE, next_look_at = NULL,
    disabled_since = NULL, approve_until = NULL WHERE id {ids}
""")
_hold_back = Sql("""
    UPDATE actions.actions_actions SET status = ?, reason = ?, lease_owner = NULL, lease_until = NULL
    WHERE id {ids}
""")
_report = Sql("UPDATE actions.actions_actions SET status = ?, reason = ? WHERE id = ?")
_ask_again = Sql("""
    UPDATE actions.actions_actions SET status = ?, reason = ?, next_attempt_at = ?, done_at = NULL,
    tries_before = attempts, attempting = FALSE, parked = FALSE, lease_owner = NULL, lease_until = NULL,
    disabled_since = NULL WHERE id {ids}
""")
_hold_for_endpoint = Sql("""
    UPDATE actions.actions_actions SET status = ?, reason = ?, disabled_since = ?, next_attempt_at = ?,
    lease_owner = NULL, lease_until = NULL, attempting = FALSE WHERE id = ?
""")
_MANY = 1_000_000_000  # more attempts than any action has
_skip = update(actions).where(
    actions.c.play == bind("b_play"),
    actions.c.digest_key.is_(None),  # it serves other plays too; see `digests.leave`
    actions.c.status.in_(SENDABLE),
    actions.c.attempting.is_(False),
    or_(actions.c.attempts >= bind("b_least"), actions.c.waits),
)
_again = update(actions).where(actions.c.id == bind("b_id"))


def new_actions(conn: Connection, rows: Sequence[Row]) -> None:
    """Insert actions. Each is recorded once under its id; one that is there already stays as it is."""
    if len(rows) == 1:
        change_status(conn, insert_unless_there(conn, actions, ["id"]), rows[0])
    else:
        change_status(conn, insert(actions), rows)


def end_attempts(conn: Connection, ends: Mapping[Result, Sequence[str]]) -> None:
    """Write the results of attempts at these actions."""
    change_status(conn, _end, [(*result, listed(conn, ids)) for result, ids in ends.items()])


def close_actions(conn: Connection, ids: Sequence[str], status: str, reason: str, at: int) -> None:
    """End actions without an attempt."""
    if ids:
        change_status(conn, _close, [(status, reason, at, listed(conn, ids))])


def close_each(conn: Connection, ends: Sequence[tuple[str, str, int, str]]) -> None:
    """End actions without an attempt: status, reason, end and id of each."""
    change_status(
        conn,
        _end,
        [(status, reason, None, at, listed(conn, [action])) for status, reason, at, action in ends],
    )


def send_again(conn: Connection, action: str, **more: Any) -> None:
    """Let an action that ended wait again, as if it had never been tried; and set other columns with it."""
    fresh = dict.fromkeys(("reason", "done_at", "begun_at", "lease_owner", "lease_until", "disabled_since"))
    given = {"b_id": action, "status": "pending", "attempting": False, "parked": False}
    change_status(conn, _again, {**given, **fresh, **more})


def hold_back(conn: Connection, ids: Sequence[str]) -> None:
    """Let actions wait until sending is on again; their lease is over."""
    if ids:
        change_status(conn, _hold_back, [("pending", ActionReason.SENDING_OFF.value, listed(conn, ids))])


def report_action(conn: Connection, action: str, reason: str) -> None:
    """A mail that went out, or may have, came back or was complained about: it did go out, with this reason."""
    change_status(conn, _report, [("done", reason, action)])


def hold_for_endpoint(conn: Connection, rows: Sequence[tuple[int, int, str]]) -> None:
    """Let actions wait for their endpoint: since when, until when at most (microseconds), and the action's id."""
    why = ("pending", ActionReason.ENDPOINT_DISABLED.value)
    change_status(conn, _hold_for_endpoint, [(*why, *row) for row in rows])


def ask_again(conn: Connection, ids: Any, now: int) -> None:
    """Let actions that ended (as `listed`) begin once more, now, with all of their schedule before them."""
    change_status(conn, _ask_again, [("pending", None, now, ids)])


def skip_actions(conn: Connection, op: Cancel) -> None:
    """Skip the actions that the play has not begun to send. An attempt under way ends by itself and is not repeated."""
    given = {
        "b_play": op.play,
        "b_least": _MANY if op.waiting_only else 1 if op.tried_only else 0,
        "status": "skipped",
        "reason": op.reason,
        "done_at": op.at,
        "waits": False,
        **dict.fromkeys(
            (
                "next_attempt_at",
                "next_look_at",
                "lease_owner",
                "lease_until",
                "disabled_since",
                "approve_until",
            )
        ),
    }
    change_status(conn, _skip, given)


# -- tasks

_change_task = update(tasks).where(tasks.c.id == bind("b_id"))
_close_task = update(tasks).where(tasks.c.id == bind("b_id"), tasks.c.status.in_(OPEN_TASK))
_close_tasks = update(tasks).where(tasks.c.play == bind("b_play"), tasks.c.status.in_(OPEN_TASK))


def new_task(conn: Connection, row: Row) -> None:
    """Insert an open task."""
    change_status(conn, insert(tasks), {**row, "status": "open", "reason": None})


def set_task(conn: Connection, task: str, status: str, **more: Any) -> None:
    """Bring a task to a status, and set other columns with it."""
    change_status(conn, _change_task, {"b_id": task, "status": status, **more})


def rewrite_task(conn: Connection, task: str, columns: Row) -> None:
    """Set columns of a task other than its status."""
    conn.execute(
        _change_task, {"b_id": task, **{name: columns[name] for name in columns if name != "status"}}
    )


def wake_tasks(conn: Connection, now: int) -> None:
    """Open the snoozed tasks whose time has come."""
    due = update(tasks).where(tasks.c.status == "snoozed", tasks.c.snoozed_until <= now)
    change_status(conn, due, {"status": "open", "reason": None, "snoozed_until": None})


def close_tasks(conn: Connection, op: CloseTasks) -> None:
    """Close the open tasks of a play with the reason."""
    given = {"status": "closed", "reason": op.reason, "snoozed_until": None, "over_at": op.at}
    change_status(conn, _close_tasks, {"b_play": op.play, **given})


def close_task(conn: Connection, task: str, reason: str, at: int, **more: Any) -> None:
    """Close a task, if it is open, and set other columns with it."""
    given = {"status": "closed", "reason": reason, "snoozed_until": None, "over_at": at, **more}
    change_status(conn, _close_task, {"b_id": task, **given})
