"""Writes without the actions that cannot be read: those end first, in a transaction of their own. Blocking SQL.

Everything is read together, which is quick. Only where that fails is it known which rows are to blame.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from services.actions.delivery.attempt_writer import AttemptWriter, BatchResult
from services.actions.storage.sql import Unreadable

Answer = TypeVar("Answer")


def written(
    db: Database,
    clock: Clock,
    recorder: AttemptWriter,
    tell: Callable[[BatchResult], None],
    work: Callable[[Connection], Answer],
) -> Answer:
    """Run `work` in a transaction. If it raises `Unreadable`, end those actions and run it again.

    `tell` is called after each such commit. Raises `DatabaseUnavailable`, and `Unreadable` if that did not help.
    """
    before: Mapping[Any, Collection[str]] = {}
    while True:
        try:
            with db.write() as conn:
                return work(conn)
        except Unreadable as found:
            if found.columns == before:
                raise
            before = found.columns
            with db.write() as conn:
                ended = recorder.end_unreadable(conn, found, clock.now())
            tell(ended)
