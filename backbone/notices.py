"""Notices: what the people who run Touchline must be told, once when it begins and once when it is over.

    with db.write() as conn:                                   # any service, in the transaction that makes it so
        notices.raise_(conn, NoticeKind.BREAKER, "renewal", "21 plays within 1h, limit 20", clock.now())
        ...
        notices.clear(conn, NoticeKind.BREAKER, "renewal", clock.now())

Both are durable with the caller's transaction and idempotent: while a notice of this kind about this object is open,
raising it again changes nothing, in whichever process; clearing one that is not open does nothing. They write one row
and wait for nobody. The actions service sends what is raised and what is over to TOUCHLINE_OPS_EMAIL and
TOUCHLINE_OPS_WEBHOOK (`services.actions.notices`), even while sending is off. `detail` goes out as it is: it must hold
nothing personal, so no account, no contact and no text of an error that may quote one.
"""

import secrets
from typing import NamedTuple

from sqlalchemy import Connection, Row, delete, select, update

from backbone.database import insert_new
from backbone.tables import notices
from backbone.telemetry import get_logger
from schemas.notices import WORDS, NoticeKind

SECOND_US = 1_000_000
MOST_DETAIL = 500  # characters

log = get_logger("touchline.notices")


class Notice(NamedTuple):
    """A stored notice. Moments are in microseconds; `over_at` is None while it is open."""

    id: str
    kind: NoticeKind
    object: str
    detail: str
    mark: str
    raised_at: int
    over_at: int | None


def raise_(
    conn: Connection, kind: NoticeKind, object_: str, detail: str, now: int, *, mark: str = ""
) -> bool:
    """Begin a notice unless it is open; returns whether it was begun.

    One that was over for less than its kind's `settle_s` goes on instead, and nobody is told again. `mark` is the
    caller's own, for `open_notices`: the version of a rule, say. `now` is the wall clock, in microseconds.
    """
    mine = (notices.c.kind == kind) & (notices.c.object == object_)
    since = now - WORDS[kind].settle_s * SECOND_US
    again = update(notices).where(mine, notices.c.over_at > since)
    again = again.values(over_at=None, open_as=_open_as(kind, object_), mark=mark)
    if is_open(conn, kind, object_) or (WORDS[kind].settle_s and conn.execute(again).rowcount):
        return False
    row = {
        "id": f"ntc_{secrets.token_hex(12)}",
        "kind": str(kind),
        "object": object_,
        "detail": detail[:MOST_DETAIL],
        "mark": mark,
        "raised_at": now,
        "open_as": _open_as(kind, object_),
    }
    begun = insert_new(conn, notices, [row]) == 1
    if begun:
        log.warning("notice raised", kind=str(kind), object=object_)
    return begun


def clear(conn: Connection, kind: NoticeKind, object_: str, now: int) -> bool:
    """Say that what a notice tells of is over; returns whether one was open."""
    mine = notices.c.open_as == _open_as(kind, object_)
    ended = conn.execute(update(notices).where(mine).values(over_at=now, open_as=None)).rowcount > 0
    if ended:
        log.info("notice over", kind=str(kind), object=object_)
    return ended


def is_open(conn: Connection, kind: NoticeKind, object_: str) -> bool:
    """Whether a notice is open: a cheap look, for those who would clear it again and again."""
    mine = notices.c.open_as == _open_as(kind, object_)
    return conn.execute(select(notices.c.seq).where(mine)).first() is not None


def open_notices(conn: Connection, kind: NoticeKind) -> list[Notice]:
    """The open notices of a kind."""
    mine = (notices.c.kind == kind) & notices.c.over_at.is_(None)
    return [_notice(row) for row in conn.execute(select(notices).where(mine).order_by(notices.c.seq))]


def recent(conn: Connection, since: int) -> list[Notice]:
    """Notices that are open, or were over after `since`, oldest first."""
    mine = notices.c.over_at.is_(None) | (notices.c.over_at > since)
    found = conn.execute(select(notices).where(mine).order_by(notices.c.seq))
    return [_notice(row) for row in found if row.kind in set(NoticeKind)]


def forget(conn: Connection, before: int) -> int:
    """Delete notices that were over before this moment; returns how many."""
    return conn.execute(delete(notices).where(notices.c.over_at < before)).rowcount


def _open_as(kind: NoticeKind, object_: str) -> str:
    return f"{kind} {object_}"


def _notice(row: Row[tuple[object, ...]]) -> Notice:
    return Notice(row.id, NoticeKind(row.kind), row.object, row.detail, row.mark, row.raised_at, row.over_at)
