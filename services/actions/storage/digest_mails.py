"""Mails of digests that are about to begin: whether all of their items may still go. SQL only."""

from collections import defaultdict
from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, select

from services.actions.plays.model import DigestItem
from services.actions.storage import holds, suppressions, waiting
from services.actions.storage.suppressions import Hasher
from services.actions.tables import actions, digest_items


def changed(conn: Connection, ids: Collection[str], hasher: Hasher) -> set[str]:
    """Those of these actions that are mails of digests, have not begun, and have an item that may not go any more: its
    play stands still, its contact is no longer active, or the recipient has left its topic."""
    items = _items(conn, ids)
    every = [item for mine in items.values() for item in mine]
    if not every:
        return set()
    out = holds.plays_standing(conn, [item.play for item in every])
    inactive = waiting.inactive(conn, every)
    digests = {one: hasher.digest(one) for one in {item.recipient for item in every if not item.internal}}
    asked = {(digests[item.recipient], item.topic) for item in every if not item.internal}
    left = suppressions.suppressed(conn, asked) if asked else set()

    def may_go(item: DigestItem) -> bool:
        wanted = item.internal or (digests[item.recipient], item.topic) not in left
        return wanted and item.play not in out and item.id not in inactive

    return {mail for mail, mine in items.items() if not all(map(may_go, mine))}


def _items(conn: Connection, ids: Collection[str]) -> dict[str, list[DigestItem]]:
    """The items, by mail, without their scopes."""
    query = select(digest_items.c.action, digest_items.c.item).join(
        actions, actions.c.id == digest_items.c.action
    )
    fresh = (actions.c.digest_key.is_not(None), actions.c.begun_at.is_(None), actions.c.attempting.is_(False))
    found: defaultdict[str, list[DigestItem]] = defaultdict(list)
    for row in conn.execute(query.where(digest_items.c.action.in_(sorted(ids)), *fresh)):
        found[row.action].append(msgspec.convert(row.item, DigestItem))
    return found
