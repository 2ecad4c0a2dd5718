"""Removes the files of erased mails, if there is no mail server. Each process removes the files that it wrote."""

from pathlib import Path

from sqlalchemy import delete, select

from backbone.clock import Clock
from backbone.database import Database
from services.actions.channels.email.eml_files import remove
from services.actions.tables import mails_gone

SECOND_US = 1_000_000
AGAIN_US = 600 * SECOND_US  # how long a mail that was on its way may take to its file
KEPT_US = 86_400 * SECOND_US  # how long entries are kept; by then every process has looked
AT_ONCE = 1_000


class ErasedMailFiles:
    """The mail files of this process."""

    def __init__(self, folder: Path, db: Database, clock: Clock) -> None:
        self._folder, self._db, self._clock = folder, db, clock
        self._since = 0  # mails erased before this moment have been removed

    def sweep(self) -> None:
        """Remove the files of erased mails; those erased lately are tried once more. Old entries are deleted."""
        now = self._clock.now()
        for action, due_at in self._gone():
            remove(self._folder, action, due_at)
        self._since = now - AGAIN_US
        old = mails_gone.c.at < now - KEPT_US
        with self._db.read() as conn:
            any_old = conn.scalar(select(mails_gone.c.seq).where(old).limit(1)) is not None
        if any_old:
            with self._db.write() as conn:
                conn.execute(delete(mails_gone).where(old))

    def _gone(self) -> list[tuple[str, int]]:
        if not self._folder.is_dir():
            return []
        query = select(mails_gone.c.action, mails_gone.c.due_at).where(mails_gone.c.at >= self._since)
        with self._db.read() as conn:
            return [(row.action, row.due_at) for row in conn.execute(query)]
