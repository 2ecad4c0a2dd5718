"""Forgets Segment calls after eight days, a few at a time: a day more than senders are promised."""

import threading

from sqlalchemy import delete, select

from backbone.clock import Clock
from backbone.database import Database
from schemas.event import DAY_US
from services.ingest.tables import calls, followed

KEPT_US = 8 * DAY_US
EVERY = 1_000  # calls remembered, between two looks
AT_ONCE = 4_000  # rows; more than came in meanwhile


def prune_followed(db: Database, clock: Clock) -> None:
    """Forget which updates the directory followed eight days ago."""
    with db.write() as connection:
        connection.execute(delete(followed).where(followed.c.at < clock.now() - KEPT_US))


class Pruning:
    """Looks after every `EVERY` calls, and at the first. Blocks: call it from a worker thread."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._lock = threading.Lock()
        self._since = EVERY

    def after(self, count: int) -> None:
        """Note that this many more calls are remembered."""
        if not count:
            return
        with self._lock:
            self._since += count
            due = self._since >= EVERY
            if due:
                self._since = 0
        if due:
            self.prune()

    def prune(self) -> int:
        """Forget the oldest calls that are old enough, but for rows that another process is deleting.
        Returns how many."""
        old = (
            select(calls.c.name)
            .where(calls.c.received_at < self._clock.now() - KEPT_US)
            .order_by(calls.c.received_at)
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        with self._db.write() as connection:
            return connection.execute(delete(calls).where(calls.c.name.in_(old))).rowcount
