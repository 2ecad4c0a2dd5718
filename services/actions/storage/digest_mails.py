"""Mails of digests that are about to begin: whether all of their items may still go. SQL only."""

from collections import defaultdict
from collections.abc import Collection

import msgspec
from sqlalchemy import Connection

from services.actions.plays.model import DigestItem
from services.actions.storage import holds, suppressions, waiting
from services.actions.storage.sql import Sql, Unreadable, listed
from services.actions.storage.suppressions import Hasher


class _InMail(msgspec.Struct, array_like=True):
    """An item of a digest, without its scope, as JSON. `id`: of the mail that it went with."""

    id: str
    item: str


_in_mails = Sql("""
    SELECT i.action AS id, CAST(i.item AS TEXT) AS item FROM actions.actions_digest_items i
    JOIN actions.actions_actions a ON a.id = i.action
    WHERE i.action {ids} AND a.digest_key IS NOT NULL AND a.begun_at IS NULL AND NOT a.attempting
""")
_item = msgspec.json.Decoder(DigestItem).decode


def changed(conn: Connection, ids: Collection[str], hasher: Hasher) -> set[str]:
    """Those of these actions that are mails of digests, have not begun, and have an item that may not go any more: its
    play stands still, its contact is no longer active, or the recipient has left its topic. Raises `Unreadable`."""
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
    found: defaultdict[str, list[DigestItem]] = defaultdict(list)
    for one in _in_mails.read(conn, _InMail, listed(conn, sorted(ids))):
        try:
            found[one.id].append(_item(one.item))
        except msgspec.DecodeError:
            raise Unreadable({one.id: ("item",)}) from None
    return found
