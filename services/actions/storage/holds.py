"""What is paused: rows of `holds`, the locks that order them with sends and plays, and what a resume leaves. SQL only.

No send begins after a pause was answered, and no play. A send begins in a transaction that looks at the holds; a play
begins in one that looks again at those it relied on (`BatchHolds.verify`). On PostgreSQL these share an advisory lock
that a pause takes alone: sends the lock of all holds, plays that of their playbook and rule. SQLite has one writer.

A playbook is paused by a call. A rule is paused in each partition at the place of a control record, so it has a row and
a key for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, text, update

from backbone.database import insert_new
from schemas.play_reasons import PlayReason
from schemas.sentences import states
from services.actions.channels import CHANNELS
from services.actions.plays.admission import Hold
from services.actions.plays.model import SENDABLE
from services.actions.storage import digests
from services.actions.storage.sql import Sql, listed
from services.actions.storage.status import discard_plays
from services.actions.tables import actions, digest_items, holds, plays

Kind = Literal["playbook", "rule"]
ALL = ("", "")  # names the lock that sends share
Locked = tuple[str | int, ...]  # a key, or `ALL`
OF_PLAYBOOK = (PlayReason.PAUSED, PlayReason.BREAKER)  # the reasons that a resume of the playbook is about
OF_RULE = (PlayReason.RULE_PAUSED,)  # and one of the rule
EVERYWHERE = -1
BY_RESUME = 0  # the stamp of plays that a resume releases: it overrules nothing else that holds them


class Key(NamedTuple):
    """A playbook, or a rule in a partition."""

    kind: str
    name: str
    partition: int = EVERYWHERE


class Row(NamedTuple):
    """A row of `holds`."""

    hold: Hold
    reason: str | None
    paused_by: str | None
    paused_at: int | None
    stamp: int
    counted_after: int
    revision: int


NONE = Row(Hold(), None, None, None, 0, 0, 0)


def lock(conn: Connection, shared: Iterable[Locked], alone: Iterable[Locked] = ()) -> None:
    """Lock holds until the transaction ends, always in the same order, so that nobody deadlocks."""
    if conn.dialect.name != "postgresql":
        return
    wanted = {_number(one): True for one in shared} | {_number(one): False for one in alone}
    for number in sorted(wanted):
        verb = "pg_advisory_xact_lock_shared" if wanted[number] else "pg_advisory_xact_lock"
        conn.execute(text(f"SELECT {verb}(:key)"), {"key": number})


def _number(key: Locked) -> int:
    if key == ALL:
        return -(2**63)  # before all others
    digest = blake2b("\0".join(("touchline hold", *map(str, key))).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def rows(conn: Connection) -> dict[Key, Row]:
    """All rows."""
    return {Key(row.kind, row.name, row.partition): _row(row) for row in conn.execute(select(holds))}


def row_of(conn: Connection, key: Key) -> Row:
    """The row of a playbook or a rule."""
    found = conn.execute(select(holds).where(_is(key))).one_or_none()
    return NONE if found is None else _row(found)


def paused(conn: Connection) -> dict[Key, Hold]:
    """Everything that is paused."""
    return {key: row.hold for key, row in rows(conn).items() if row.hold.paused is not None}


def released(conn: Connection) -> int:
    """How many held plays were released and have not begun yet."""
    marked = (plays.c.status == "held", plays.c.released.is_not(None))
    return conn.scalar(select(func.count()).select_from(plays).where(*marked)) or 0


def stamps(conn: Connection) -> int:
    """A number that grows with every change of the holds."""
    return int(conn.scalar(select(func.coalesce(func.sum(holds.c.stamp), 0))) or 0)


def _row(row: Any) -> Row:
    paused = None if row.paused is None else PlayReason(row.paused)
    return Row(
        Hold(paused, row.generation),
        *(row.reason, row.paused_by, row.paused_at, row.stamp, row.counted_after, row.revision),
    )


def _is(key: Key) -> Any:
    return (holds.c.kind == key.kind) & (holds.c.name == key.name) & (holds.c.partition == key.partition)


def _mine(table: Any, key: Key) -> tuple[ColumnElement[bool], ...]:
    """The rows of a table, plays or actions, that belong to a playbook, or to a rule in a partition."""
    if key.kind == "playbook":
        return (table.c.playbook == key.name,)
    return (table.c.rule == key.name, table.c.partition == key.partition)


def pause(conn: Connection, key: Key, why: PlayReason, reason: str | None, by: str, now: int) -> None:
    """Let a playbook or a rule hold its plays. The caller has its lock alone."""
    stamp = row_of(conn, key).stamp + 1
    _write(
        conn,
        key,
        paused=why.value,
        reason=reason,
        paused_by=by,
        paused_at=now,
        generation=stamp,
        stamp=stamp,
    )


def resume(conn: Connection, key: Key, now: int) -> None:
    """Let it hold its plays no longer. Its limit counts anew, and actions that wait go on.

    The caller has its lock and that of `ALL` alone.
    """
    stamp = row_of(conn, key).stamp + 1
    newest = conn.scalar(select(func.max(plays.c.seq))) or 0
    _write(
        conn,
        key,
        paused=None,
        reason=None,
        paused_by=None,
        paused_at=None,
        generation=stamp,
        stamp=stamp,
        counted_after=newest,
    )
    served = (
        select(digest_items.c.action).join(plays, plays.c.id == digest_items.c.play).where(*_mine(plays, key))
    )
    _unpark(conn, (or_(and_(*_mine(actions, key)), actions.c.id.in_(served)),), now)


def touch(conn: Connection) -> None:
    """Let the workers look anew at all that waits: somebody let a mail begin, or ended one. The last thing that a
    transaction does."""
    _write(conn, Key("mails", ""), stamp=holds.c.stamp + 1)


def set_revision(conn: Connection, key: Key, revision: int) -> None:
    """Note from which revision of rules a rule's row is; it is there."""
    _write(conn, key, revision=revision)


def _write(conn: Connection, key: Key, **columns: Any) -> None:
    fresh = {**key._asdict(), "generation": 0, "stamp": 0, "counted_after": 0, "revision": 0}
    insert_new(conn, holds, [fresh], list(Key._fields))
    conn.execute(update(holds).where(_is(key)).values(**columns))


def release_plays(conn: Connection, key: Key, reasons: Sequence[PlayReason]) -> int:
    """Mark the plays that are held for one of these reasons: the workers begin them, in the order of their `seq`.

    If something else holds them by then, they are held for that.
    """
    which = (*_held(key, reasons), plays.c.released.is_(None))
    return conn.execute(update(plays).where(*which).values(released=BY_RESUME, due_at=plays.c.seq)).rowcount


def _held(key: Key, reasons: Sequence[PlayReason]) -> tuple[ColumnElement[bool], ...]:
    why = plays.c.reason.in_([one.value for one in reasons])
    return (plays.c.status == "held", why, *_mine(plays, key))


def discard_held(conn: Connection, key: Key, reasons: Sequence[PlayReason], now: int) -> int:
    """End the plays that are held for one of these reasons; returns how many."""
    return discard_plays(conn, _held(key, reasons), now)


def release_play(conn: Connection, play: str, status: str, keys: Sequence[Key], now: int) -> None:
    """Release one play: it begins, or goes on, although its playbook or its rule is paused. The caller has the locks of
    these, and that of `ALL`, alone."""
    stamp = max(row_of(conn, key).stamp for key in keys) + 1
    for key in keys:
        _write(conn, key, stamp=stamp)
    due = plays.c.seq if status == "held" else plays.c.due_at
    conn.execute(update(plays).where(plays.c.id == play).values(released=stamp, due_at=due))
    _unpark(conn, (digests.serves(play),), now)


# -- actions of what is paused

_ANY_PAUSED = Sql("SELECT 1 FROM actions.actions_holds WHERE paused IS NOT NULL LIMIT 1")
_HELD = """
    JOIN actions.actions_holds h ON h.paused IS NOT NULL
    AND h.name = CASE h.kind WHEN 'playbook' THEN p.playbook ELSE p.rule END
    AND h.partition IN (-1, p.partition)
    AND (p.released IS NULL OR p.released < h.generation)
"""
_STANDING = Sql(
    """
    SELECT a.id FROM actions.actions_actions a JOIN actions.actions_plays p ON p.id = a.play {held}
    WHERE a.id {ids}
    UNION SELECT i.action FROM actions.actions_digest_items i JOIN actions.actions_plays p ON p.id = i.play {held}
    WHERE i.action {ids}
""",
    held=_HELD,
)
_PLAYS_STANDING = Sql("SELECT p.id FROM actions.actions_plays p {held} WHERE p.id {ids}", held=_HELD)
_PARK = Sql("""
    UPDATE actions.actions_actions SET parked = TRUE, next_attempt_at = NULL, lease_owner = NULL, lease_until = NULL
    WHERE id {ids}
""")

_BEGUN = Sql(
    """
    SELECT 1 FROM actions.actions_actions a WHERE a.next_attempt_at <= ? AND a.attempting AND a.lease_until >= ?
    AND a.playbook = ? AND a.channel IN ({channels}) LIMIT 1
""",
    channels=", ".join(f"'{spec.name}'" for spec in CHANNELS.values() if spec.to_endpoints),
)


def standing(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Those of these actions whose playbook or rule is paused, or that of a play which their digest serves."""
    if not ids or _ANY_PAUSED.run(conn).first() is None:
        return set()
    return {row.id for row in _STANDING.run(conn, *[listed(conn, list(ids))] * 2)}


def plays_standing(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Those of these plays whose playbook or rule is paused, whether they are open or not."""
    return {row.id for row in _PLAYS_STANDING.run(conn, listed(conn, list(ids)))}


def park(conn: Connection, ids: Iterable[str]) -> None:
    """Let actions wait until their playbook or rule goes on; nobody leases them meanwhile."""
    doomed = sorted(ids)
    if doomed:
        _PARK.run(conn, listed(conn, doomed))


def begun(conn: Connection, playbook: str, now: int) -> bool:
    """Whether a webhook of a playbook has begun and not ended, as far as its process lives."""
    return _BEGUN.run(conn, now, now, playbook).first() is not None


def _unpark(conn: Connection, mine: tuple[ColumnElement[bool], ...], now: int) -> None:
    waiting = (actions.c.parked, *mine)
    conn.execute(update(actions).where(*waiting, actions.c.status.in_(SENDABLE)).values(next_attempt_at=now))
    conn.execute(update(actions).where(*waiting).values(parked=False))


def shown(row: Row, moment: Any) -> Mapping[str, Any]:
    """`status` and `paused` of a playbook, as the API shows them."""
    if row.hold.paused is None:
        return {"status": "active", "paused": None}
    paused = {
        "reason": row.reason,
        "by": row.paused_by,
        "at": moment(row.paused_at),
        "sentence": states.pause(row.reason, row.paused_by, row.paused_at),
    }
    return {"status": "paused", "paused": paused}
