"""Places the events of sources: each goes to the accounts that it belongs to, or is parked.

What places an event is stored before it is appended, so that one which is sent again goes where it went, whoever it
would belong to by then. Requests that come at the same time share a transaction.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, select

from backbone.clock import Clock
from backbone.database import Database, among, insert_all
from backbone.failpoint import hit
from schemas.event import DAY_US, Event
from services.ingest.group_commit import GroupCommit
from services.ingest.identity.directory import Directory
from services.ingest.identity.locks import lock_placing
from services.ingest.identity.lookup import keys_of
from services.ingest.identity.unmatched import Unmatched, Waiting, addressed, new_id
from services.ingest.identity.whose import Whose
from services.ingest.tables import placed, unmatched

MAX_ITEMS = 1_000  # of requests that share a transaction
MAX_ACCOUNTS = 10_000  # of one event
KEPT_US = 8 * DAY_US  # how long it is remembered where an event went: a day more than senders are promised


class Asked(msgspec.Struct, frozen=True):
    """An event without an account, whose it is, and the name of its source's document."""

    event: Event
    whose: Whose
    source: str


class Placed(msgspec.Struct, frozen=True):
    """The event once for each account that it belongs to; or, if nobody knows, the id under which it is parked."""

    events: tuple[Event, ...]
    parked: str = ""


class SourcePlacement:
    """Blocks: call it from a worker thread."""

    def __init__(self, db: Database, clock: Clock, directory: Directory, unmatched: Unmatched) -> None:
        self._db = db
        self._clock = clock
        self._directory = directory
        self._unmatched = unmatched
        self._together = GroupCommit(self._place, MAX_ITEMS)

    def place(self, asked: Sequence[Asked]) -> Sequence[Placed]:
        """Place each event. Raises `DatabaseUnavailable`."""
        return self._together.run(asked)

    def find(self, all_: Sequence[Whose]) -> list[tuple[str, ...]]:
        """The accounts that events of these would go to now; nothing is kept. Raises `DatabaseUnavailable`."""
        keys = {key for one in all_ for key in keys_of(one, self._directory.key)}
        with self._db.read() as connection:
            lookup = self._directory.lookup(connection, keys)
        return [lookup.accounts(one) for one in all_]

    def _place(self, asked: Sequence[Asked]) -> list[Placed]:
        names = [self._directory.key("placed", one.event.source, one.event.id) for one in asked]
        keys = {key for one in asked for key in keys_of(one.whose, self._directory.key)}
        with self._db.write() as connection:
            lock_placing(connection, names, keys)
            went, parked = _sent_before(connection, names)
            lookup = self._directory.lookup(connection, keys)
            rows, waiting, results = [], [], []
            for name, one in zip(names, asked, strict=True):
                if name not in went and name not in parked:
                    accounts = lookup.accounts(one.whose)[: MAX_ACCOUNTS + 1]
                    if accounts:
                        went[name] = accounts
                        if len(accounts) <= MAX_ACCOUNTS:
                            rows += [{"name": name, "account": account} for account in accounts]
                    else:
                        parked[name] = new_id()
                        waiting.append(Waiting(parked[name], name, one.source, one.event, one.whose))
                events = tuple(addressed(one.event, to, one.whose, lookup) for to in went.get(name, ()))
                results.append(Placed(events, parked.get(name, "")))
            now = self._clock.now()
            insert_all(connection, placed, [{**row, "received_at": now} for row in rows])
            if waiting:
                self._unmatched.park(connection, waiting)
        hit("ingest.after_placing_before_append")
        return results

    def prune(self) -> None:
        """Forget where the events of eight days ago went."""
        with self._db.write() as connection:
            connection.execute(delete(placed).where(placed.c.received_at < self._clock.now() - KEPT_US))


def _sent_before(
    connection: Connection, names: Sequence[bytes]
) -> tuple[dict[bytes, tuple[str, ...]], dict[bytes, str]]:
    """Where events of these names went, and under which ids others of them are parked."""
    went: dict[bytes, tuple[str, ...]] = {}
    query = select(placed.c.name, placed.c.account).where(among(connection, placed.c.name, names))
    for name, account in connection.execute(query.order_by(placed.c.account)):
        went[name] = (*went.get(name, ()), account)
    query = select(unmatched.c.name, unmatched.c.id).where(among(connection, unmatched.c.name, names))
    return went, {name: known for name, known in connection.execute(query) if name not in went}
