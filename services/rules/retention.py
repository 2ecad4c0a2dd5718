"""Old triggers leave at the daily tick: those of which no play came here, all others with their plays (see actions).

What they had an effect on outlives them: cooldowns and the memory of repeats are in the accounts' states.
"""

from collections.abc import Iterable

from backbone.database import Database
from schemas.event import DAY_US, day_of
from services.rules import store
from services.rules.shard import Shard

KEPT_US = 400 * DAY_US  # as the setting's default
AT_ONCE = 1_000  # triggers of a partition in one transaction


class Retention:
    """Looks when a partition's day has changed; used by the worker's thread only. `keep` in microseconds."""

    def __init__(self, db: Database, keep: int) -> None:
        self._db, self._keep = db, keep
        self.more = False  # whether there was too much for one transaction

    def sweep(self, shards: Iterable[Shard], now: int | None) -> None:
        """One transaction for all partitions whose day has changed. `now`: the wall clock; None: each has its own."""
        due = [(shard, tick) for shard in shards if (tick := _tick(shard, now)) > shard.row.swept]
        self.more = False
        if not due:
            return
        done = []
        with self._db.write() as conn:
            for shard, tick in due:
                if store.forget_alone(conn, shard.row.partition, tick - self._keep, AT_ONCE) < AT_ONCE:
                    store.set_swept(conn, shard.row.partition, tick)
                    done.append((shard, tick))
        for shard, tick in done:
            shard.row.swept = tick
        self.more = len(done) < len(due)


def _tick(shard: Shard, now: int | None) -> int:
    return day_of(shard.saved.clock if now is None else now)


def is_swept(row: store.PartitionRow, now: int | None) -> bool:
    """Whether nothing old is left in a partition."""
    return row.swept >= day_of(row.clock if now is None else now)
