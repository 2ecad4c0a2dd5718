"""Which group each Segment user named last: the account of the calls that follow."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, or_, select

from backbone.clock import Clock
from backbone.database import Database, upsert
from services.ingest.sources.normal import Normal
from services.ingest.tables import groups

CHUNK = 500  # bound parameters of one IN list


class Groups:
    """The table behind it. Blocks: call it from a worker thread."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def find(self, users: Sequence[str]) -> dict[str, str]:
        """The group of each of these users that has one."""
        found: dict[str, str] = {}
        with self._db.read() as connection:
            for start in range(0, len(users), CHUNK):
                query = select(groups.c.user, groups.c.group).where(
                    groups.c.user.in_(users[start : start + CHUNK])
                )
                found |= {row.user: row.group for row in connection.execute(query)}
        return found

    def store(self, named: Mapping[str, str]) -> None:
        """Keep the group of each of these users."""
        now = self._clock.now()
        rows = [{"user": user, "group": group, "updated_at": now} for user, group in named.items()]
        with self._db.write() as connection:
            upsert(connection, groups, rows, ["user"])

    def erase(self, erasures: Sequence[Normal]) -> None:
        """Forget what these erasures name."""
        with self._db.write() as connection:
            for event in erasures:
                named = or_(groups.c.user == event.account, groups.c.group == event.account)
                if event.type == "contact.deleted":
                    named = (groups.c.user == event.contact) & (
                        (groups.c.group == event.account) | (groups.c.user == event.account)
                    )
                connection.execute(delete(groups).where(named))
