"""Old triggers leave at the daily tick. Those that started no play leave here, all others with their
plays (see actions).

Their effects outlive them: cooldowns and the memory of repeats are in the accounts' states.
"""

import time
from collections.abc import Iterable

from backbone.database import Database
from schemas.event import DAY_US, day_of
from services.rules.partition_task import RulesTask
from services.rules.storage import queries
from services.rules.storage.ownership import RulesPartition

KEPT_US = 400 * DAY_US  # as the setting's default
SOON_S = 0.2  # between checks whether the log has a trigger
AT_ONCE = 1_000  # triggers of a partition in one transaction


class Retention:
    """Looks when a partition's day has changed; used by the worker's thread only. `keep` in microseconds."""

    def __init__(self, db: Database, keep: int) -> None:
        self._db, self._keep = db, keep
        self._again: dict[
            int, float
        ] = {}  # partitions with an old trigger that is not on the log yet: when to check again
        self.more = False  # whether one transaction could not take all

    def sweep(self, tasks: Iterable[RulesTask], now: int | None) -> None:
        """Clean all partitions whose day has changed, in one transaction. `now`: the wall clock; None: each
        has its own clock."""
        at = time.monotonic()
        due = [
            (task, tick)
            for task in tasks
            if (tick := _tick(task, now)) > task.row.swept and at >= self._again.get(task.row.partition, at)
        ]
        self.more = False
        if not due:
            return
        done = []
        with self._db.write() as conn:
            for task, tick in due:
                number, upto = task.row.partition, tick - self._keep
                self._again.pop(number, None)
                if queries.forget_alone(conn, number, upto, AT_ONCE) == AT_ONCE:
                    self.more = True
                elif queries.old_alone(conn, number, upto):
                    self._again[number] = at + SOON_S
                else:
                    queries.set_swept(conn, number, tick)
                    done.append((task, tick))
        for task, tick in done:
            task.row.swept = tick


def _tick(task: RulesTask, now: int | None) -> int:
    return day_of(task.saved.clock if now is None else now)


def is_swept(row: RulesPartition, now: int | None) -> bool:
    """Whether nothing old is left in a partition."""
    return row.swept >= day_of(row.clock if now is None else now)
