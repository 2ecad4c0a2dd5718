"""What needs a person now in actions: plays, actions, mails to assignees, playbooks, endpoints. Each count is that of
its list."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select

from backbone.web.attention import Attention, link
from schemas.attention import AttentionKind
from schemas.event import rfc3339
from schemas.play_reasons import ActionReason
from services.actions.storage import endpoints, sending
from services.actions.storage.library import PLAYBOOKS, readable
from services.actions.tables import actions, plays
from services.actions.task_mail_tables import task_mails

READ = "actions:read"
LATELY_US = 7 * 86_400_000_000


def attention(conn: Connection, now: int) -> Iterator[Attention]:
    """All that the tables tell, as of `now` (microseconds)."""
    held_since = func.coalesce(plays.c.held_at, plays.c.started_at)
    yield from _some(conn, AttentionKind.HELD, plays, held_since, "/v1/plays", {"status": "held"})
    awaiting = {"reason": ActionReason.AWAITING_APPROVAL.value}
    yield from _some(
        conn, AttentionKind.AWAITING_APPROVAL, actions, actions.c.created_at, "/v1/actions", awaiting
    )
    for kind in (AttentionKind.FAILED, AttentionKind.UNCERTAIN):
        lately, asked = now - LATELY_US, {"status": kind.value}
        for table, path in ((actions, "/v1/actions"), (task_mails, "/v1/task-mails/deliveries")):
            due = table.c.due_at
            yield from _some(conn, kind, table, due, path, asked, due > lately, after=rfc3339(lately))
    yield from _unhealthy(conn)
    disabled = [one.disabled_at for one in endpoints.failing(conn) if one.disabled_at is not None]
    if disabled:
        where = link("/v1/endpoints", status="disabled")
        yield Attention(AttentionKind.DISABLED, len(disabled), min(disabled), where, READ)
    switch = sending.current(conn)
    if switch.off:
        waits = {"reason": ActionReason.SENDING_OFF.value}
        count = _count(conn, actions, waits)
        yield Attention(AttentionKind.SENDING_OFF, count, switch.at, link("/v1/actions", **waits), READ)


def unhealthy(conn: Connection) -> dict[str, int]:
    """The playbooks that this release cannot run, and since when they are as they are (microseconds)."""
    return {
        one.name: one.changed_at
        for one in PLAYBOOKS.all(conn)
        if readable(one.name, one.version, one.doc).unhealthy is not None
    }


def _unhealthy(conn: Connection) -> Iterator[Attention]:
    found = unhealthy(conn)
    if found:
        where = link("/v1/playbooks", unhealthy="true")
        yield Attention(AttentionKind.UNHEALTHY, len(found), min(found.values()), where, READ)


def _some(
    conn: Connection,
    kind: AttentionKind,
    table: Table,
    since: ColumnElement[Any],
    path: str,
    asked: dict[str, str],
    *also: ColumnElement[bool],
    **more: str,
) -> Iterator[Attention]:
    """The rows with these values, if there are any; `more` narrows the list as `also` does the rows."""
    same = [table.c[name] == value for name, value in asked.items()]
    count, oldest = conn.execute(
        select(func.count(), func.min(since)).select_from(table).where(*same, *also)
    ).one()
    if count:
        yield Attention(kind, count, oldest, link(path, **asked, **more), READ)


def _count(conn: Connection, table: Table, asked: dict[str, str]) -> int:
    same = [table.c[name] == value for name, value in asked.items()]
    return conn.scalar(select(func.count()).select_from(table).where(*same)) or 0
