"""Tells of rules that failed and were set aside: a notice, raised by the version that failed.

A rule fails in one partition of one process, and only a save mends it. So the notice is raised while the version that
failed is in force, and is over once another is, or none; that one process has not met the error says nothing.
"""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from backbone import notices
from backbone.database import Database
from schemas.notices import NoticeKind
from services.rules.storage.revisions import latest

KIND = NoticeKind.RULE_UNHEALTHY
RUNNING = ("active", "shadow")


class UnhealthyNotices:
    """`failed` gives the rules that failed in this process: names to (version, error)."""

    def __init__(
        self, db: Database, now: Callable[[], int], failed: Callable[[], Mapping[str, tuple[int, str]]]
    ) -> None:
        self._db, self._now, self._failed = db, now, failed

    def write(self) -> None:
        """Raise and clear what is to be. Raises `DatabaseUnavailable`."""
        failed = self._failed()
        with self._db.read() as conn:
            told = {one.object: one.mark for one in notices.open_notices(conn, KIND)}
            over = [name for name, mark in told.items() if not _in_force(conn, name, mark)]
            new = {
                name: (str(version), error)
                for name, (version, error) in sorted(failed.items())
                if name not in told and _in_force(conn, name, str(version))
            }
        if over or new:
            with self._db.write() as conn:
                for name in over:
                    notices.clear(conn, KIND, name, self._now())
                for name, (version, error) in new.items():
                    # an error's text may quote data
                    detail = f"version {version}, {error.partition(':')[0]}"
                    notices.raise_(conn, KIND, name, detail, self._now(), mark=version)


def _in_force(conn: Connection, name: str, version: str) -> bool:
    row = latest(conn, name)
    return row is not None and str(row.version) == version and row.status in RUNNING
