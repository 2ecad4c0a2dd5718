"""Raises the notice that the mail server refuses us, and clears it once a mail has gone out, from whichever process."""

from collections.abc import Callable

from backbone import notices
from backbone.database import Database
from schemas.notices import NoticeKind
from services.actions.channels.base import ChannelTrouble
from services.actions.metrics import show_mail_server

OBJECT = "mail server"
KIND = NoticeKind.MAIL_SERVER_REFUSES


class MailServerWatch:
    """Takes the signs of the delivery loop, which it never holds up, and writes the last one from time to time."""

    def __init__(self, db: Database, now: Callable[[], int]) -> None:
        self._db, self._now = db, now
        self._last: tuple[ChannelTrouble | None] | None = None  # None: no sign since it was written

    def note(self, trouble: ChannelTrouble | None) -> None:
        """Take a sign: the trouble that a mail met, or None if the server took one."""
        show_mail_server(trouble)
        self._last = (trouble,)

    def write(self) -> None:
        """Raise or clear the notice by the last sign. Raises `DatabaseUnavailable`; the sign is kept then."""
        if (last := self._last) is None:
            return
        (trouble,) = last
        with self._db.read() as conn:
            told = notices.is_open(conn, KIND, OBJECT)
        if told != (trouble is not None):
            with self._db.write() as conn:
                if trouble is None:
                    notices.clear(conn, KIND, OBJECT, self._now())
                else:
                    notices.raise_(conn, KIND, OBJECT, trouble.detail, self._now())
        if self._last is last:
            self._last = None
