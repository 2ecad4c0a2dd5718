"""The messages about notices, and how far each has come. SQL only.

A message is claimed by one process for `LEASE_US`, longer than any try takes. The one about the end of a notice is
due once the one about its beginning is done, by the same way.
"""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, delete, or_, select, update

from backbone import notices
from backbone.database import insert_new
from schemas.notices import WORDS
from services.actions.notices.wording import NoticeMessage, Phase
from services.actions.tables import notice_messages as table

LEASE_US = 120_000_000
LOOK_BACK_US = 86_400_000_000  # what was over before that is not told by a way that is new
KEPT_US = 30 * 86_400_000_000


def make(conn: Connection, ways: Collection[str], now: int) -> None:
    """Make the missing messages. Reads only if there is none to make."""
    if missing := _missing(conn, ways, now):
        insert_new(conn, table, missing, ["notice", "phase", "way"])


def lacking(conn: Connection, ways: Collection[str], now: int) -> bool:
    """Whether `make` would make any."""
    return bool(_missing(conn, ways, now))


def _missing(conn: Connection, ways: Collection[str], now: int) -> list[dict[str, object]]:
    found = notices.recent(conn, now - LOOK_BACK_US)
    known = select(table.c.notice, table.c.phase, table.c.way).where(
        table.c.notice.in_([one.id for one in found])
    )
    there = {tuple(row) for row in conn.execute(known)} if found else set()
    wanted: list[tuple[str, Phase, str]] = []
    for one in found:
        wanted += [(one.id, "raised", way) for way in ways]
        if one.over_at is not None and one.over_at + WORDS[one.kind].settle_s * notices.SECOND_US <= now:
            wanted += [(one.id, "over", way) for way in ways]
    return [
        {"notice": notice, "phase": phase, "way": way, "made_at": now, "next_at": now}
        for notice, phase, way in wanted
        if (notice, phase, way) not in there
    ]


def due(conn: Connection, ways: Collection[str], now: int) -> list[tuple[NoticeMessage, int, int]]:
    """The messages that nobody has claimed and whose time has come: each with its tries, and when it was made."""
    by_id = {one.id: one for one in notices.recent(conn, now - KEPT_US)}
    waiting = select(table).where(table.c.done_at.is_(None), table.c.way.in_(list(ways)))
    rows = conn.execute(waiting).all()
    first = {(row.notice, row.way) for row in rows if row.phase == "raised"}
    return [
        (NoticeMessage(by_id[row.notice], row.phase, row.way), row.tries, row.made_at)
        for row in rows
        if row.next_at <= now and (row.lease_until is None or row.lease_until < now)
        if row.notice in by_id and (row.phase == "raised" or (row.notice, row.way) not in first)
    ]


def claim(conn: Connection, message: NoticeMessage, now: int) -> bool:
    """Claim a message; returns whether nobody was faster."""
    free = or_(table.c.lease_until.is_(None), table.c.lease_until < now)
    mine = update(table).where(_is(message), table.c.done_at.is_(None), free)
    return conn.execute(mine.values(lease_until=now + LEASE_US)).rowcount == 1


def told(conn: Connection, message: NoticeMessage, tries: int, detail: str, now: int) -> None:
    """The message has arrived, may have arrived, or is given up."""
    conn.execute(
        update(table).where(_is(message)).values(done_at=now, tries=tries, detail=detail, lease_until=None)
    )


def again(conn: Connection, message: NoticeMessage, tries: int, detail: str, at: int) -> None:
    """The message is to be tried again."""
    conn.execute(
        update(table).where(_is(message)).values(next_at=at, tries=tries, detail=detail, lease_until=None)
    )


def let_go(conn: Connection) -> None:
    """End all claims, when a process starts that is the only one on its database."""
    conn.execute(update(table).where(table.c.lease_until.is_not(None)).values(lease_until=None))


def forget(conn: Connection, now: int) -> None:
    """Delete old notices and their messages."""
    if notices.forget(conn, now - KEPT_US):
        kept = [one.id for one in notices.recent(conn, 0)]
        conn.execute(delete(table).where(table.c.notice.not_in(kept)))


def _is(message: NoticeMessage) -> ColumnElement[bool]:
    return (
        (table.c.notice == message.notice.id)
        & (table.c.phase == message.phase)
        & (table.c.way == message.way)
    )
