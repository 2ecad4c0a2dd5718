"""Mails to contacts that wait: what the policy must know to judge them, and what becomes of them. SQL only.

Such a mail is an action with a contact on a channel that needs consent. `waits` is set while something other than its
turn decides whether it may begin: the policy, its step's `within`, an approval. Then its play obeys `exit_when`, even
a finished one. `next_attempt_at` is when delivery looks at it (null: it does not, somebody else must say so first),
and `next_look_at` is what people are shown. `due_at` is when its step ran. Whoever lets it go later, after an approval
or by a retry, sets `ready_at` to that moment, from which the policy counts, `begun_at` to null, `waits`, and
`next_attempt_at` to the present. It is judged again when its first attempt begins.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row

from services.actions.channels import NEED_CONSENT
from services.actions.plays.model import SENDABLE, DigestItem
from services.actions.policy.mails import DEFAULT_PRIORITY, Earlier, WaitingMail, due
from services.actions.policy.turns import Contender
from services.actions.storage.sql import Sql, Unreadable, listed
from services.actions.storage.suppressions import Hasher

# Mails that are woken for each that begins, so that thousands to one address are not, every time.
WOKEN_EACH = 20
_WORDS = {
    "columns": "a.id, a.play, a.account, a.contact, a.recipient, a.addressee, a.topic, a.tier, a.priority,"
    " a.due_at, a.ready_at, a.late_at, a.waited, a.reason, a.seq",
    "mails": "a.channel IN ({}) AND a.contact IS NOT NULL".format(
        ", ".join(f"'{name}'" for name in NEED_CONSENT)
    ),
    "sendable": ", ".join(f"'{status}'" for status in SENDABLE),
}
_WAITING = """
    SELECT {columns} FROM actions.actions_actions a
    WHERE a.waits AND a.%s {ids} AND a.next_attempt_at <= ? AND a.begun_at IS NULL AND {mails}
"""
_ours = Sql(
    """
    SELECT {columns} FROM actions.actions_actions a
    WHERE a.id {ids} AND a.begun_at IS NULL AND a.status = 'pending' AND {mails}
""",
    **_WORDS,
)
_to = Sql(_WAITING % "addressee", **_WORDS)
_to_or_of = Sql(f"{_WAITING % 'addressee'} UNION {_WAITING % 'account'}", **_WORDS)
_of_plays = Sql(
    """
    SELECT a.id, a.play, a.addressee, a.begun_at, a.waited, a.seq, a.status FROM actions.actions_actions a
    WHERE a.play {ids} AND {mails}
""",
    **_WORDS,
)
_profiles = Sql("SELECT account, profile FROM actions.actions_accounts WHERE account {ids}")
_looks = Sql("""
    SELECT a.id, a.play FROM actions.actions_actions a
    WHERE a.waits AND a.partition = ? AND a.next_look_at <= ? AND a.begun_at IS NULL
""")
_next_look = Sql("""
    SELECT min(a.next_look_at) FROM actions.actions_actions a
    WHERE a.waits AND a.partition = ? AND a.next_look_at > ? AND a.begun_at IS NULL
""")
_whole_plays = Sql(
    """
    SELECT {columns}, a.begun_at, a.waits, a.next_look_at FROM actions.actions_actions a
    WHERE a.play {ids} AND {mails} AND (a.waits OR a.begun_at IS NOT NULL) ORDER BY a.seq
""",
    **_WORDS,
)
_still = Sql(
    "SELECT a.id FROM actions.actions_actions a WHERE a.id {ids} AND a.waits AND a.status = 'pending' {lock}"
)
_begin = Sql("""
    UPDATE actions.actions_actions SET begun_at = ?, next_attempt_at = ?, reason = NULL, waits = FALSE,
    next_look_at = NULL WHERE id = ?
""")
_move = Sql("UPDATE actions.actions_actions SET reason = ?, next_look_at = ? WHERE id = ? AND waits")
_put_off = Sql("""
    UPDATE actions.actions_actions SET reason = ?, next_look_at = ?, next_attempt_at = ?, waits = TRUE,
    lease_owner = NULL, lease_until = NULL WHERE id = ?
""")
_BEHIND = """
    SELECT id FROM (SELECT id FROM actions.actions_actions
    WHERE waits AND %s {ids} AND reason = 'behind' AND next_attempt_at > ? AND lease_owner IS NULL
    ORDER BY COALESCE(priority, 5) DESC, COALESCE(ready_at, due_at), id LIMIT ?) AS of_%s
"""
_WAKE = "UPDATE actions.actions_actions SET next_attempt_at = ?, next_look_at = ? WHERE id IN (%s)"
_BEHIND_TO, _BEHIND_OF = (_BEHIND % (name, name) for name in ("addressee", "account"))
_addressees = Sql(
    "SELECT DISTINCT addressee FROM actions.actions_actions WHERE id {ids} AND addressee IS NOT NULL"
)
_wake_to = Sql(_WAKE % _BEHIND_TO)
_wake_to_or_of = Sql(_WAKE % f"{_BEHIND_TO} UNION {_BEHIND_OF}")


class _Waiting(msgspec.Struct, array_like=True):
    """A mail that waits, in the order of `columns`."""

    id: str
    play: str
    account: str
    contact: str | None
    recipient: str | None
    addressee: str | None
    topic: str
    tier: str | None
    priority: int | None
    due_at: int
    ready_at: int | None
    late_at: int | None
    waited: int | None
    reason: str | None
    seq: int


class _OfPlay(msgspec.Struct, array_like=True):
    id: str
    play: str
    addressee: str | None
    begun_at: int | None
    waited: int | None
    seq: int
    status: str


class _Person(msgspec.Struct):
    timezone: str | None = None
    active: bool = True


class Known(msgspec.Struct):
    """What a mail must know of an account."""

    timezone: str | None = None
    contacts: dict[str, _Person] = {}


_known = msgspec.json.Decoder(Known).decode


class Scene(msgspec.Struct):
    """The mails that must be judged together. `inactive`: those of ours whose contact is no longer active."""

    contenders: list[Contender]
    ours: dict[str, WaitingMail]
    inactive: set[str]
    addressees: dict[str, str]  # of ours


def scene(conn: Connection, ids: Sequence[str], hasher: Hasher, now: int, *, by_account: bool) -> Scene:
    """The mails among these actions that have not begun, and those that wait for the same addresses and may be looked
    at by now; `by_account`: and for the same accounts. What is looked at later cannot begin before.

    Raises `Unreadable`.
    """
    ours = {row.id: row for row in _ours.read(conn, _Waiting, listed(conn, list(ids)))}
    rows = dict(ours)
    if ours:
        to = listed(conn, sorted({row.addressee or "" for row in ours.values()}))
        if by_account:
            of = listed(conn, sorted({row.account for row in ours.values()}))
            beside = _to_or_of.read(conn, _Waiting, to, now, of, now)
        else:
            beside = _to.read(conn, _Waiting, to, now)
        rows |= {row.id: row for row in beside}
    known, earlier = _accounts(conn, rows.values()), _Earlier(conn, rows.values())
    contenders = []
    for row in rows.values():
        mail = mail_of(row, known.get(row.account), hasher)
        contenders.append(Contender(mail, due(mail, earlier.of(row))))
    return Scene(
        contenders=contenders,
        ours={one.mail.id: one.mail for one in contenders if one.mail.id in ours},
        inactive={one for one, row in ours.items() if not _is_active(row, known)},
        addressees={one: row.addressee or "" for one, row in ours.items()},
    )


def inactive(conn: Connection, items: Collection[DigestItem]) -> set[str]:
    """The items of digests whose contact is no longer active."""
    theirs = [item for item in items if item.contact is not None and not item.internal]
    known = _accounts(conn, theirs)
    return {item.id for item in theirs if not _is_active(item, known)}


def _accounts(conn: Connection, rows: Collection[_Waiting] | Collection[DigestItem]) -> dict[str, Known]:
    wanted = sorted({row.account for row in rows})
    found: dict[str, Known] = {}
    for row in _profiles.run(conn, listed(conn, wanted)) if wanted else ():
        try:
            found[row.account] = _known(row.profile)
        except msgspec.DecodeError:
            mine = [one.id for one in rows if one.account == row.account]
            raise Unreadable(dict.fromkeys(mine, ("profile",))) from None
    return found


def _is_active(row: _Waiting | DigestItem, known: dict[str, Known]) -> bool:
    account = known.get(row.account)
    person = None if account is None else account.contacts.get(row.contact or "")
    return person is None or person.active


def mail_of(row: Row[Any] | _Waiting, known: Known | None, hasher: Hasher) -> WaitingMail:
    """The mail in a row. `known`: its account, for the zone of its reader."""
    person = None if known is None else known.contacts.get(row.contact or "")
    zone = None if person is None else person.timezone
    return WaitingMail(
        id=row.id,
        play=row.play,
        account=row.account,
        contact=row.contact or "",
        address=hasher.digest(row.recipient or ""),
        topic=row.topic,
        tier=row.tier or "",
        priority=DEFAULT_PRIORITY if row.priority is None else row.priority,
        ran_at=row.due_at,
        ready_at=row.ready_at,
        late_at=row.late_at,
        waited=row.waited or 0,
        zone=zone or (None if known is None else known.timezone),
        reason=row.reason,
    )


class _Earlier:
    """The mails of the same plays, by recipient, as far as they can be read: they may have ended long ago."""

    def __init__(self, conn: Connection, rows: Collection[_Waiting]) -> None:
        self._found: defaultdict[tuple[str, str | None], list[_OfPlay]] = defaultdict(list)
        plays = sorted({row.play for row in rows})
        for row in _of_plays.read_fitting(conn, _OfPlay, listed(conn, plays)) if plays else ():
            self._found[row.play, row.addressee].append(row)

    def of(self, row: _Waiting) -> list[Earlier]:
        """Those from before a mail, in order."""
        found = [one for one in self._found.get((row.play, row.addressee), ()) if one.seq < row.seq]
        found.sort(key=lambda one: int(one.seq))
        return [Earlier(one.begun_at, one.status in SENDABLE, one.waited or 0) for one in found]


def put_off(conn: Connection, looks: Sequence[tuple[str, int, int, str]]) -> None:
    """Let mails wait: the reason, the look that is shown, the one that is taken, and the action of each."""
    _put_off.each(conn, looks)


def wake(conn: Connection, addressees: Collection[str], accounts: Collection[str], now: int) -> int:
    """Look at once at mails that wait behind others, for these addresses and, if there are any, accounts; returns how
    many there are."""
    to = listed(conn, sorted(addressees)), now, WOKEN_EACH * len(addressees)
    if not accounts:
        return _wake_to.run(conn, now, now, *to).rowcount
    of = listed(conn, sorted(accounts)), now, WOKEN_EACH * len(accounts)
    return _wake_to_or_of.run(conn, now, now, *to, *of).rowcount


def wake_behind(conn: Connection, ids: Sequence[str], now: int) -> int:
    """Look at once at mails that wait behind these, which ended without having begun; returns how many there are. With
    the log clock the worker looks at them by itself."""
    found = _addressees.run(conn, listed(conn, ids)).scalars().all() if ids else ()
    return wake(conn, found, (), now) if found else 0


# -- with the log clock


def looks(conn: Connection, partition: int, upto: int) -> Sequence[Row[Any]]:
    """The mails of a partition that are to be looked at by a moment, and their plays."""
    return _looks.run(conn, partition, upto).all()


def next_look(conn: Connection, partition: int, after: int) -> int | None:
    """When the first mail is to be looked at after a moment."""
    moment: int | None = _next_look.run(conn, partition, after).scalar()
    return moment


def of_plays(conn: Connection, plays: Sequence[str]) -> Sequence[Row[Any]]:
    """The mails of plays that wait or began, in the order of their steps."""
    return _whole_plays.run(conn, listed(conn, plays)).all() if plays else ()


def still(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Those of these mails that still wait; they are locked until the transaction ends."""
    return set(_still.run(conn, listed(conn, ids)).scalars()) if ids else set()


def begin(conn: Connection, begun: Sequence[tuple[int, int, str]]) -> None:
    """Let mails begin: the moment, when delivery may take them (wall clock), and the action of each."""
    _begin.each(conn, begun)


def move(conn: Connection, moved: Sequence[tuple[str | None, int, str]]) -> None:
    """Let mails wait on: the reason, the next look, and the action of each."""
    _move.each(conn, moved)
