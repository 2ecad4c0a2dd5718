"""Deletes old history at the daily tick: ended plays with their actions, attempts and triggers, and finished tasks.

A play with an open task or an action that is still to be sent stays, and so does one whose goal is still watched, each
with its trigger. The effects of old
history outlive it: the memory of repeats here, cooldowns in rules.
"""

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, or_, select, update

from backbone.clock import Clock
from backbone.database import Database
from schemas.event import DAY_US, day_of
from services.actions.channels import LEAVE_FILES
from services.actions.partition_task import ActionsTask
from services.actions.plays.model import OPEN_TASK, SENDABLE
from services.actions.storage import digests, outbox
from services.actions.storage.ownership import ActionsPartition
from services.actions.tables import (
    actions,
    attempts,
    history,
    mail_reports,
    mails_gone,
    partitions,
    plays,
    tasks,
)

KEPT_US = 400 * DAY_US  # the default of the setting
SOON_S = 0.2  # between looks while an old action is due
LATER_S = 5.0  # between looks while an old action waits for its next attempt
AT_ONCE = 200  # most plays, and most tasks, of a partition in one transaction


class Retention:
    """Deletes old history when a partition's day has changed. For the worker's thread only. `keep`: microseconds."""

    def __init__(self, db: Database, wall: Clock, keep: int) -> None:
        self._db, self._wall, self._keep = db, wall, keep
        # When to look again at partitions in which an old action is still to be sent.
        self._again: dict[int, float] = {}
        self._looked: set[int] = set()  # partitions that were looked at since they were claimed
        self.more = False  # whether there may be more than fitted one transaction

    def mine(self, partitions: Iterable[int]) -> None:
        """Look anew at partitions just claimed: their last owner may have been waiting for an action to be sent."""
        self._looked.difference_update(partitions)

    def sweep(self, tasks: Iterable[ActionsTask], now: int | None) -> bool:
        """Delete old history of all partitions whose day has changed, in one transaction; returns whether any went.

        `now`: the wall clock; None: each partition's own clock.
        """
        at = time.monotonic()
        due = [(task, tick) for task in tasks if self._is_due(task, tick := _tick(task, now), at)]
        self.more = False
        if not due:
            return False
        done, left = [], 0
        with self._db.write() as conn:
            for task, tick in due:
                number, wall = task.row.partition, self._wall.now()
                count = forget(conn, number, tick, tick - self._keep, wall)
                left += count
                waits = None if count else _next_sending(conn, number, tick - self._keep)
                if count == 0 and (waits is None or waits > wall):
                    conn.execute(
                        update(partitions).where(partitions.c.partition == number).values(swept=tick)
                    )
                    done.append((task, tick))
                self.more |= count > 0
                self._look_again(number, at, count=count, waits=waits, wall=wall)
        for task, tick in done:
            task.row.swept = tick
        return left > 0

    def _is_due(self, task: ActionsTask, tick: int, at: float) -> bool:
        number = task.row.partition
        again = self._again.get(number)
        if again is not None:
            return at >= again
        return tick > task.row.swept or number not in self._looked

    def _look_again(self, number: int, at: float, *, count: int, waits: int | None, wall: int) -> None:
        """Look again soon for an old action that is still to be sent, so that it leaves once it was sent, and not at
        the next tick: by the log clock, days are short."""
        self._looked.add(number)
        self._again.pop(number, None)
        if not count and waits is not None:
            self._again[number] = at + (SOON_S if waits <= wall else LATER_S)


def _tick(task: ActionsTask, now: int | None) -> int:
    return day_of(task.plays.clock if now is None else now)


def is_swept(row: ActionsPartition, now: int | None) -> bool:
    """Whether a partition has no old history left."""
    return row.swept >= day_of(row.clock if now is None else now)


def forget(conn: Connection, partition: int, tick: int, upto: int, now: int) -> int:
    """Delete plays and tasks of a partition that were over at `upto` or before; returns how many were deleted.

    At most `AT_ONCE` of each are deleted. `tick`: the daily tick at which they leave. `now`: the wall clock, for the
    processes that remove the mail files.
    """
    found = conn.execute(
        select(plays.c.id, plays.c.trigger_id)
        .where(plays.c.partition == partition, plays.c.ended_at <= upto, plays.c.status != "open")
        .where(
            ~_has_open_task(), ~_has_unsent_action(), ~digests.has_waiting(plays.c.id), _goal_is_over(upto)
        )
        .order_by(plays.c.ended_at, plays.c.seq)
        .limit(AT_ONCE)
        .with_for_update()
    ).all()
    if found:
        _plays(conn, [row.id for row in found], now)
        outbox.forgotten(conn, partition, [row.trigger_id for row in found], tick)
    mine = tasks.c.partition == partition
    over = select(tasks.c.seq).where(
        or_(mine, tasks.c.partition.is_(None)) if partition == 0 else mine, tasks.c.over_at <= upto
    )
    first = over.order_by(tasks.c.over_at).limit(AT_ONCE)
    return len(found) + conn.execute(delete(tasks).where(tasks.c.seq.in_(first))).rowcount


def _next_sending(conn: Connection, partition: int, upto: int) -> int | None:
    """When the first action that keeps an old play from leaving is next due (wall clock); None: there is none."""
    found: int | None = conn.scalar(
        select(func.min(actions.c.next_attempt_at))
        .select_from(plays.join(actions, actions.c.play == plays.c.id))
        .where(plays.c.partition == partition, plays.c.ended_at <= upto, plays.c.status != "open")
        .where(actions.c.status.in_(SENDABLE), ~_has_open_task())
    )
    return found


def _goal_is_over(upto: int) -> ColumnElement[bool]:
    """Whether the goal's time was over then too, as a play counts for what its playbook does only from there on."""
    return or_(plays.c.goal_until.is_(None), plays.c.goal_until <= upto)


def _has_open_task() -> ColumnElement[bool]:
    return exists().where(tasks.c.play == plays.c.id, tasks.c.status.in_(OPEN_TASK))


def _has_unsent_action() -> ColumnElement[bool]:
    return exists().where(actions.c.play == plays.c.id, actions.c.status.in_(SENDABLE))


def _plays(conn: Connection, ids: Sequence[str], now: int) -> None:
    mine = actions.c.play.in_(ids)
    mails = select(actions.c.id, actions.c.due_at).where(mine, actions.c.channel.in_(LEAVE_FILES))
    files = [{"action": row.id, "due_at": row.due_at, "at": now} for row in conn.execute(mails)]
    if files:
        conn.execute(insert(mails_gone), files)
    for table in (attempts, mail_reports):
        conn.execute(delete(table).where(table.c.action.in_(select(actions.c.id).where(mine))))
    conn.execute(delete(actions).where(mine))
    digests.forget(conn, ids)
    conn.execute(delete(history).where(history.c.play.in_(ids)))
    conn.execute(delete(plays).where(plays.c.id.in_(ids)))
