"""What kept backtests show of the erased leaves them too: a chore, since results are too long to wait for.

An erasure is noted in its own transaction. The note goes once every kept result was looked through, and no backtest
runs that may have read the log before the erasure.
"""

import zlib
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.jobs.queue import JobQueue
from services.rules.backtest.ledger import triggers_in
from services.rules.tables import backtest_erasures as notes

AT_ONCE = 1_000
MARGIN_US = 60_000_000  # how far the clocks of two workers may differ
_encode = msgspec.json.Encoder().encode


def note(conn: Connection, accounts: list[str], contacts: list[tuple[str, str]], now: int) -> None:
    """Note that these accounts, and these contacts of accounts, were erased."""
    rows: list[dict[str, Any]] = [{"account": account, "contact": None, "at": now} for account in accounts]
    rows += [{"account": account, "contact": contact, "at": now} for account, contact in contacts]
    if rows:
        conn.execute(insert(notes), rows)


class ErasedFromBacktests:
    """The chore."""

    def __init__(self, db: Database, clock: Clock, queue: JobQueue) -> None:
        self._db, self._clock, self._queue = db, clock, queue

    def sweep(self) -> None:
        """Take the erased out of all kept results."""
        with self._db.read() as conn:
            rows = conn.execute(select(notes).order_by(notes.c.seq).limit(AT_ONCE)).all()
        if not rows:
            return
        since = self._queue.running_since()
        gone = {(row.account, row.contact) for row in rows}
        self._queue.rewrite(lambda body: _without(body, gone))
        over = [row.seq for row in rows if since is None or since > row.at + MARGIN_US]
        if over:
            with self._db.write() as conn:
                conn.execute(delete(notes).where(notes.c.seq.in_(over)))


def _without(body: bytes, gone: set[tuple[str, str | None]]) -> tuple[int, bytes] | None:
    """A part of a result without the erased: (items left, body); None if it shows nothing of them."""
    items = triggers_in(body)
    left = [
        one
        for one in items
        if (one["account"], None) not in gone and (one["account"], one["contact"] or "") not in gone
    ]
    return None if len(left) == len(items) else (len(left), zlib.compress(_encode(left), 3))
