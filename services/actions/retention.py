"""Old history leaves at the daily tick: ended plays with their actions, attempts and triggers, and closed tasks.

What is open stays: a play with an open task or an action that is still to be sent, and its trigger with it. What all
that had an effect on outlives it: the memory of repeats here, cooldowns in rules.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, or_, select, update

from backbone.clock import Clock
from backbone.database import Database
from schemas.event import DAY_US, day_of
from services.actions import store_outbox
from services.actions.plays.model import OPEN_TASK, SENDABLE
from services.actions.shard import Shard
from services.actions.store_partitions import PartitionRow
from services.actions.tables import actions, attempts, history, mails_gone, partitions, plays, tasks

KEPT_US = 400 * DAY_US  # as the setting's default
AT_ONCE = 200  # plays, or tasks, of a partition in one transaction


class Retention:
    """Looks when a partition's day has changed; used by the worker's thread only. `keep` in microseconds."""

    def __init__(self, db: Database, wall: Clock, keep: int) -> None:
        self._db, self._wall, self._keep = db, wall, keep
        self.more = False  # whether there was too much for one transaction

    def sweep(self, shards: Iterable[Shard], now: int | None) -> bool:
        """One transaction for all partitions whose day has changed; whether anything left.

        `now`: the wall clock; None: each partition has its own.
        """
        due = [(shard, tick) for shard in shards if (tick := _tick(shard, now)) > shard.row.swept]
        self.more = False
        if not due:
            return False
        done, left = [], 0
        with self._db.write() as conn:
            for shard, tick in due:
                count = forget(conn, shard.row.partition, tick, tick - self._keep, self._wall.now())
                left += count
                if not count:
                    mine = partitions.c.partition == shard.row.partition
                    conn.execute(update(partitions).where(mine).values(swept=tick))
                    done.append((shard, tick))
        for shard, tick in done:
            shard.row.swept = tick
        self.more = len(done) < len(due)
        return left > 0


def _tick(shard: Shard, now: int | None) -> int:
    return day_of(shard.plays.clock if now is None else now)


def is_swept(row: PartitionRow, now: int | None) -> bool:
    """Whether nothing old is left in a partition."""
    return row.swept >= day_of(row.clock if now is None else now)


def forget(conn: Connection, partition: int, tick: int, upto: int, now: int) -> int:
    """What of a partition was over at `upto` or before leaves, at most so many plays and tasks; how many did.

    `tick`: when it does; `now`: what the wall clock says, for those who remove the files of mails.
    """
    found = conn.execute(
        select(plays.c.id, plays.c.trigger_id)
        .where(plays.c.partition == partition, plays.c.ended_at <= upto, plays.c.status != "open")
        .where(~_has_open_task(), ~_has_unsent_action())
        .order_by(plays.c.ended_at, plays.c.seq)
        .limit(AT_ONCE)
        .with_for_update()
    ).all()
    if found:
        _plays(conn, [row.id for row in found], now)
        store_outbox.forgotten(conn, partition, [row.trigger_id for row in found], tick)
    mine = tasks.c.partition == partition
    over = select(tasks.c.seq).where(
        or_(mine, tasks.c.partition.is_(None)) if partition == 0 else mine, tasks.c.over_at <= upto
    )
    first = over.order_by(tasks.c.over_at).limit(AT_ONCE)
    return len(found) + conn.execute(delete(tasks).where(tasks.c.seq.in_(first))).rowcount


def _has_open_task() -> ColumnElement[bool]:
    return exists().where(tasks.c.play == plays.c.id, tasks.c.status.in_(OPEN_TASK))


def _has_unsent_action() -> ColumnElement[bool]:
    return exists().where(actions.c.play == plays.c.id, actions.c.status.in_(SENDABLE))


def _plays(conn: Connection, ids: Sequence[str], now: int) -> None:
    mine = actions.c.play.in_(ids)
    mails = select(actions.c.id, actions.c.due_at).where(mine, actions.c.channel == "email")
    files = [{"action": row.id, "due_at": row.due_at, "at": now} for row in conn.execute(mails)]
    if files:
        conn.execute(insert(mails_gone), files)
    conn.execute(delete(attempts).where(attempts.c.action.in_(select(actions.c.id).where(mine))))
    conn.execute(delete(actions).where(mine))
    conn.execute(delete(history).where(history.c.play.in_(ids)))
    conn.execute(delete(plays).where(plays.c.id.in_(ids)))
