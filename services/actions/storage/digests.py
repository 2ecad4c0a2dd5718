"""Items of digests as rows: put there, taken away, sent with a mail, erased. SQL only.

An item waits until its row names the mail that it went with. Whoever owns the digest's home partition writes the mail
and these names in one transaction, so that each item goes out once.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy import bindparam as bind

from backbone.database import insert_unless_there
from backbone.exports.erased import note_rows
from backbone.log import partition_for
from schemas.names import MAX_NAME, fitting
from schemas.play_reasons import ActionReason
from services.actions.plays import digests
from services.actions.plays.model import SENDABLE, ActionDraft, DigestItem, LeaveDigests
from services.actions.storage.mentions import INSTEAD
from services.actions.storage.status import close_actions
from services.actions.tables import actions, attempts, digest_items, export_erased, mails_gone, plays

CHUNK = 500
_WAITS = digest_items.c.action.is_(None)
_BIG = ("scope",)  # kept apart: read only of the items that a mail shows
_LIGHT = [digest_items.c[name] for name in ("item", "since", "due", "gone_at")]
_put_off = update(digest_items).where(digest_items.c.id == bind("b_id"))


def put(conn: Connection, items: Sequence[DigestItem], partitions: int) -> None:
    """Store items that steps have put on digests; `partitions` of the log decide who sends them."""
    if items:
        conn.execute(
            insert_unless_there(conn, digest_items, ["id"]), [_row(item, partitions) for item in items]
        )


def _row(item: DigestItem, partitions: int) -> dict[str, Any]:
    kept: dict[str, Any] = msgspec.to_builtins(item)
    return {
        "id": item.id,
        "digest": digests.name_of(item),
        "home": home_of(item, partitions),
        "partition": item.partition,
        "play": item.play,
        "account": item.account,
        "contact": fitting(item.contact, MAX_NAME),
        "since": item.since,
        "due": item.due,
        "gone_at": item.gone_at,
        "action": None,
        "item": {field: value for field, value in kept.items() if field not in _BIG},
        "scope": item.scope,
    }


def _item(row: Row[Any]) -> DigestItem:
    """The item of a row, without its scope."""
    known = {**row.item, "since": row.since, "due": row.due, "gone_at": row.gone_at}
    return msgspec.convert(known, DigestItem)


def home_of(item: DigestItem, partitions: int) -> int:
    """The partition whose owner sends the item's digest."""
    return partition_for(digests.name_of(item), partitions)


def plays_waiting(conn: Connection, accounts: Collection[str]) -> set[str]:
    """The plays of these accounts with items that wait, or that are in a mail that waits."""
    mine = select(digest_items.c.play).where(digest_items.c.account.in_(accounts))
    held = mine.join(actions, actions.c.id == digest_items.c.action).where(actions.c.waits)
    return set(conn.scalars(mine.where(_WAITS).union(held)))


def has_waiting(play: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a play has items that wait, or that are in a mail that is still to be sent."""
    unsent = exists().where(actions.c.id == digest_items.c.action, actions.c.status.in_(SENDABLE))
    return exists().where(digest_items.c.play == play, or_(_WAITS, unsent))


def serves(play: str) -> ColumnElement[bool]:
    """Whether an action is one of this play, or the mail of a digest that has an item of it."""
    mine = select(digest_items.c.action).where(
        digest_items.c.play == play, digest_items.c.action.is_not(None)
    )
    return or_(actions.c.play == play, actions.c.id.in_(mine))


# -- going out


def due(conn: Connection, homes: Collection[int] | None, upto: int, limit: int) -> list[str]:
    """The digests whose mails are to go out at `upto` or before, of these home partitions (None: of all)."""
    earlier = digest_items.alias()
    before = and_(
        earlier.c.digest == digest_items.c.digest,
        earlier.c.action.is_(None),
        or_(
            earlier.c.since < digest_items.c.since,
            and_(earlier.c.since == digest_items.c.since, earlier.c.id < digest_items.c.id),
        ),
    )
    query = select(digest_items.c.digest).where(_WAITS, digest_items.c.due <= upto, ~exists().where(before))
    if homes is not None:
        query = query.where(digest_items.c.home.in_(homes))
    return list(conn.scalars(query.order_by(digest_items.c.due, digest_items.c.digest).limit(limit)))


def count_due(conn: Connection, upto: int, most: int = 1_000) -> int:
    """How many digests are to go out at `upto` or before; `most` stands for any greater number."""
    return len(due(conn, None, upto, most))


def collected(conn: Connection, name: str) -> list[DigestItem]:
    """The items of a digest that go out together next, in the order in which they were collected; without their
    scopes. The first one decides on the moment."""
    waiting = select(*_LIGHT).where(digest_items.c.digest == name, _WAITS)
    first = conn.execute(waiting.order_by(digest_items.c.since, digest_items.c.id).limit(1)).one_or_none()
    if first is None:
        return []
    rows = conn.execute(waiting.where(digest_items.c.since < first.due))
    return sorted((_item(row) for row in rows), key=digests.order)


def fill(conn: Connection, items: Sequence[DigestItem]) -> None:
    """Give items their scopes."""
    by_id = {item.id: item for item in items}
    for part in _parts(by_id):
        query = select(digest_items.c.id, digest_items.c.scope).where(digest_items.c.id.in_(part))
        for row in conn.execute(query):
            by_id[row.id].scope = row.scope


def was_sent(conn: Connection, action: str) -> bool:
    """Whether there is such a mail already: what was collected for it since is late."""
    return conn.scalar(select(actions.c.id).where(actions.c.id == action)) is not None


def as_read(conn: Connection, items: Sequence[DigestItem], moment: int) -> bool:
    """Whether items still wait for the digest of this moment as they were read. They are locked until the transaction
    ends; one that somebody else has locked may change."""
    known = {item.id: item.gone_at for item in items}
    columns = select(digest_items.c.id, digest_items.c.gone_at).where(digest_items.c.since < moment)
    there: dict[str, int | None] = {}
    for part in _parts(known):
        query = columns.where(_WAITS, digest_items.c.id.in_(part)).with_for_update(skip_locked=True)
        there |= {row.id: row.gone_at for row in conn.execute(query)}
    return there == known


def wait_for_look(conn: Connection, mail: str) -> None:
    """With the log clock: a mail that the sending policy governs begins once its home partition has looked at it."""
    governed = (actions.c.id == mail, actions.c.waits)
    conn.execute(update(actions).where(*governed).values(next_attempt_at=None))


def looks(conn: Connection, homes: Collection[int]) -> dict[int, int]:
    """The earliest look at mails of digests that wait in these partitions."""
    query = select(actions.c.partition, func.min(actions.c.next_look_at).label("look"))
    mine = (actions.c.partition.in_(homes), actions.c.waits, actions.c.digest_key.is_not(None))
    rows = conn.execute(query.where(*mine, actions.c.next_look_at.is_not(None)).group_by(actions.c.partition))
    return {row.partition: row.look for row in rows}


def went(conn: Connection, items: Sequence[DigestItem], action: str) -> None:
    """Note that items went out with a mail."""
    for part in _parts([item.id for item in items]):
        conn.execute(update(digest_items).where(digest_items.c.id.in_(part)).values(action=action))


def put_off(conn: Connection, items: Sequence[DigestItem]) -> None:
    """Store for which digest items wait now."""
    given = [{"b_id": item.id, "since": item.since, "due": item.due} for item in items]
    if given:
        conn.execute(_put_off, given)


def drop(conn: Connection, items: Sequence[DigestItem]) -> None:
    """Delete items that go out with no mail."""
    for part in _parts([item.id for item in items]):
        conn.execute(delete(digest_items).where(digest_items.c.id.in_(part)))


def _parts(ids: Iterable[str]) -> Iterable[list[str]]:
    every = sorted(ids)
    return (every[start : start + CHUNK] for start in range(0, len(every), CHUNK))


# -- exits


def leave(conn: Connection, op: LeaveDigests) -> list[ActionDraft]:
    """Take a play's items from digests; returns what tells of those that are certain not to go out.

    A mail that has not begun is made anew without them, under the same id. One that serves nothing else is skipped.
    """
    mine = digest_items.c.play == op.play
    others = select(func.count()).select_from(digest_items.join(plays, plays.c.id == digest_items.c.play))
    others = others.where(~mine, plays.c.status != "exited")
    waiting = [actions.c.waits] if op.timely else []
    for mail in _mails(conn, mine, actions.c.status.in_(SENDABLE), actions.c.attempting.is_(False), *waiting):
        if not conn.scalar(others.where(digest_items.c.action == mail.id)):
            close_actions(conn, [mail.id], "skipped", ActionReason.PLAY_EXITED.value, op.at)
        elif mail.begun_at is None:
            conn.execute(update(digest_items).where(mine, digest_items.c.action == mail.id).values(gone_at=0))
            _take_back(conn, mail.id)
    if op.timely:
        going = update(digest_items).where(mine, _WAITS, digest_items.c.gone_at.is_(None))
        conn.execute(going.values(gone_at=op.at))
        return []
    items = [_item(row) for row in conn.execute(select(*_LIGHT).where(mine, _WAITS))]
    drop(conn, items)
    return [digests.told(item, ActionReason.PLAY_EXITED, op.at) for item in items]


def _mails(conn: Connection, which: ColumnElement[bool], *more: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """The mails that items went with, locked until the transaction ends."""
    ids = select(digest_items.c.action).where(which, digest_items.c.action.is_not(None))
    query = select(actions).where(actions.c.id.in_(ids), *more).order_by(actions.c.id)
    return conn.execute(query.with_for_update()).all()


def take_back(conn: Connection, ids: Collection[str]) -> set[str]:
    """Take back those of these actions that are mails of digests and have not begun: one of their plays stands still,
    so they are made anew without its items. Returns them."""
    digest = (
        actions.c.digest_key.is_not(None),
        actions.c.begun_at.is_(None),
        actions.c.attempting.is_(False),
    )
    found = set(conn.scalars(select(actions.c.id).where(actions.c.id.in_(sorted(ids)), *digest)))
    for mail in sorted(found):
        _take_back(conn, mail)
    return found


def _take_back(conn: Connection, mail: str) -> None:
    """Let the items of a mail wait again: their digest is due, so its mail is made anew."""
    conn.execute(delete(attempts).where(attempts.c.action == mail))
    note_rows(conn, export_erased, "actions", select(actions.c.id).where(actions.c.id == mail))
    conn.execute(delete(actions).where(actions.c.id == mail))
    conn.execute(update(digest_items).where(digest_items.c.action == mail).values(action=None))


# -- erasure


def erase(conn: Connection, which: ColumnElement[bool], now: int) -> None:
    """Delete items, and what mails say of them. To be called before the actions and plays are deleted.

    A mail that has not gone out is made anew without them. Of one that has, the words are removed; if it began with
    such an item, it passes to the play of the next one, and without another item it is deleted.
    """
    mails = _mails(conn, which)
    conn.execute(delete(digest_items).where(which))
    for mail in mails:
        rest = conn.execute(
            select(*_LIGHT)
            .where(digest_items.c.action == mail.id)
            .order_by(digest_items.c.since, digest_items.c.id)
            .limit(1)
        ).one_or_none()
        if mail.rendered:
            conn.execute(insert(mails_gone).values(action=mail.id, due_at=mail.due_at, at=now))
        if rest is None or (mail.status in SENDABLE and not mail.attempting):
            _take_back(conn, mail.id)
            continue
        if mail.status in SENDABLE:
            close_actions(conn, [mail.id], "uncertain", ActionReason.INTERRUPTED.value, now)
        _pass_on(conn, mail, _item(rest))


def _pass_on(conn: Connection, mail: Row[Any], item: DigestItem) -> None:
    """Let a mail belong to the play of this item, and say nothing any more."""
    to = {"name": None, "email": mail.recipient}
    words = {"subject": INSTEAD, "text": INSTEAD, "html": INSTEAD, "to": to, "reply_to": None}
    conn.execute(
        update(actions)
        .where(actions.c.id == mail.id)
        .values(
            rendered=None if mail.rendered is None else {**mail.rendered, **words},
            play=item.play,
            playbook=item.playbook,
            account=item.account,
            contact=fitting(item.contact, MAX_NAME),
            step=item.step,
            rule=item.rule,
            tier=item.tier,
        )
    )


def forget(conn: Connection, ended: Sequence[str]) -> None:
    """Delete the items of plays whose history is over."""
    conn.execute(delete(digest_items).where(digest_items.c.play.in_(ended)))
