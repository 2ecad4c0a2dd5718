"""Keeps the webhooks of disabled endpoints waiting, and lets them go on when their endpoint is enabled or deleted.

What falls due is held back by whoever would lease it. This is for the rest: what was to be tried again later, and what
a process could not let go on before it died.
"""

from collections.abc import Callable

from backbone.clock import Clock
from backbone.database import Database
from services.actions.storage import endpoints


class DisabledEndpoints:
    """A chore of every process; `changed` is called when webhooks may go on."""

    def __init__(self, db: Database, clock: Clock, changed: Callable[[], None]) -> None:
        self._db, self._clock, self._changed = db, clock, changed

    def sweep(self) -> None:
        """Do what there is to do, a transaction's worth of it."""
        with self._db.read() as conn:
            if not endpoints.any_waits(conn):
                return
        with self._db.write() as conn:
            endpoints.hold_rest(conn, self._clock.now())
            gone_on = endpoints.let_go(conn, self._clock.now())
        if gone_on:
            self._changed()
