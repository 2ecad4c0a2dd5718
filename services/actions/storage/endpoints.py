"""What is known of an endpoint beside its document: since when it fails, whether it is disabled, its rate. SQL only.

An endpoint fails from its first failed attempt until one succeeds. If an attempt fails `FAILS_US` or more after the
first, it is disabled: nothing more is sent to it, and its webhooks wait, each for `WAITS_US` at most, until somebody
enables it. Both times stand still while sending is off.

Rows are locked before rows of actions, and in the order of their names, so that nobody deadlocks.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from backbone import notices
from schemas.event import rfc3339
from schemas.notices import NoticeKind
from schemas.play_reasons import ActionReason
from services.actions.channels import CHANNELS
from services.actions.plays.model import SENDABLE, Leased
from services.actions.storage import attempts, sending
from services.actions.storage.sql import Sql, listed
from services.actions.storage.status import close_actions, hold_for_endpoint
from services.actions.tables import actions
from services.actions.tables import endpoint_states as table

DAY_US = 86_400_000_000
FAILS_US, WAITS_US = 5 * DAY_US, 30 * DAY_US
AT_ONCE = 5_000  # most actions held back, or let go on, in one transaction
SECOND_US = 1_000_000
BURST_PER_S = 20  # of a rate's webhooks, one in so many may come early, so that none is lost to a late commit
# What one may take longer to its receiver than those after it, which then come closer together.
LATE_US = 30_000

Told = Sequence[tuple[str, str | None]]  # endpoint, and the reason why an attempt failed; None: it succeeded

_COLUMNS = "name, failing_since, reason, disabled_at, next_begin"
_WORDS = {"columns": _COLUMNS, "sendable": ", ".join(f"'{status}'" for status in SENDABLE)}
_states = Sql("SELECT {columns} FROM actions.actions_endpoint_states WHERE name {ids}", **_WORDS)
_lock = Sql(
    """
    INSERT INTO actions.actions_endpoint_states (name) VALUES (?)
    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING {columns}
""",
    **_WORDS,
)
_write = Sql("""
    UPDATE actions.actions_endpoint_states SET failing_since = ?, reason = ?, disabled_at = ? WHERE name = ?
""")
_take = Sql("UPDATE actions.actions_endpoint_states SET next_begin = ? WHERE name = ?")


class EndpointState(NamedTuple):
    """A row. Moments are in microseconds; `next_begin`: see `take_turns`."""

    name: str
    failing_since: int | None = None
    reason: str | None = None  # of the last failure
    disabled_at: int | None = None
    next_begin: int | None = None


def states(conn: Connection, names: Collection[str]) -> dict[str, EndpointState]:
    """The rows of those endpoints that have one."""
    if not names:
        return {}
    return {row.name: EndpointState(*row) for row in _states.run(conn, listed(conn, sorted(names)))}


def state(conn: Connection, name: str) -> EndpointState:
    """The row of an endpoint."""
    return states(conn, [name]).get(name, EndpointState(name))


def failing(conn: Connection) -> list[EndpointState]:
    """The endpoints that fail: those that are disabled first, then those that have failed for longest."""
    order = (table.c.disabled_at.is_(None), table.c.failing_since, table.c.name)
    query = select(table).where(table.c.failing_since.is_not(None)).order_by(*order)
    return [EndpointState(*row) for row in conn.execute(query)]


def lock(conn: Connection, names: Iterable[str]) -> dict[str, EndpointState]:
    """Lock the rows of these endpoints until the transaction ends; those that are missing are made."""
    return {name: EndpointState(*_lock.run(conn, name).one()) for name in sorted(set(names))}


# -- how attempts ended


def concerned(conn: Connection, told: Told) -> set[str]:
    """The endpoints of which `note` may write something."""
    names = {name for name, _ in told}
    fail = {name for name, reason in told if reason is not None}
    known = states(conn, names - fail)
    return fail | {name for name in known if known[name].failing_since is not None}


def note(conn: Connection, told: Told, now: int) -> None:
    """Note how attempts ended, in this order. Nothing is written of an endpoint that succeeds as before."""
    rows = lock(conn, concerned(conn, told))
    after = dict(rows)
    for name, reason in told:
        if name in after:
            after[name] = _noted(conn, after[name], reason, now)
    _write.each(conn, [(*row[1:4], row.name) for name, row in after.items() if row != rows[name]])
    for name, row in after.items():
        if row.disabled_at is not None and rows[name].disabled_at is None:
            detail = f"{row.reason}, no success since {rfc3339(row.failing_since or now)}"
            notices.raise_(conn, NoticeKind.ENDPOINT_DISABLED, name, detail, now)
        elif row.disabled_at is None and rows[name].disabled_at is not None:
            notices.clear(conn, NoticeKind.ENDPOINT_DISABLED, name, now)


def _noted(conn: Connection, row: EndpointState, reason: str | None, now: int) -> EndpointState:
    if reason is None:
        return row._replace(failing_since=None, reason=None, disabled_at=None)
    since = now if row.failing_since is None else row.failing_since
    long = now - since >= FAILS_US and now - since - sending.off_time(conn, since, now) >= FAILS_US
    at = now if long and row.disabled_at is None else row.disabled_at
    return row._replace(failing_since=since, reason=reason, disabled_at=at)


def enable(conn: Connection, name: str, now: int) -> EndpointState | None:
    """Let an endpoint be used again, as if it had never failed. Returns how it was; None: it is not disabled.

    Its webhooks wait on until `let_go`.
    """
    before = lock(conn, [name])[name]
    if before.disabled_at is None:
        return None
    _write.each(conn, [(None, None, None, name)])
    notices.clear(conn, NoticeKind.ENDPOINT_DISABLED, name, now)
    return before


def forget(conn: Connection, name: str, now: int) -> None:
    """Forget everything about an endpoint, which is deleted or made anew."""
    conn.execute(delete(table).where(table.c.name == name))
    notices.clear(conn, NoticeKind.ENDPOINT_DISABLED, name, now)


# -- webhooks that wait for an endpoint that is disabled

_since = Sql("SELECT id, disabled_since FROM actions.actions_actions WHERE id {ids}")
_not_held = Sql(
    """
    SELECT a.id FROM actions.actions_actions a
    WHERE a.status IN ({sendable}) AND a.recipient {ids} AND a.channel = ? AND a.disabled_since IS NULL
    AND NOT a.attempting AND NOT a.parked AND (a.lease_until IS NULL OR a.lease_until < ?)
    ORDER BY a.seq LIMIT ? {lock_free}
""",
    **_WORDS,
)
_held = Sql(
    """
    SELECT a.id FROM actions.actions_actions a WHERE a.disabled_since IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM actions.actions_endpoint_states s
    WHERE s.name = a.recipient AND s.disabled_at IS NOT NULL)
    ORDER BY a.seq LIMIT ? {lock_free}
""",
    **_WORDS,
)
_go_on = Sql("""
    UPDATE actions.actions_actions SET disabled_since = NULL, reason = NULL, next_attempt_at = ? WHERE id {ids}
""")


def _disabled(conn: Connection, some: Sequence[Leased]) -> list[str]:
    """The ids of those whose endpoint is disabled."""
    ours = [one for one in some if (spec := CHANNELS.get(one.channel)) is not None and spec.to_endpoints]
    known = states(conn, {one.recipient or "" for one in ours})
    off = {name for name, row in known.items() if row.disabled_at is not None}
    return [one.id for one in ours if one.recipient in off]


def keep_back(conn: Connection, some: Sequence[Leased], now: int) -> list[Leased]:
    """Those of our leased actions that may go on; those to a disabled endpoint wait, and their lease is over."""
    waiting = set(_disabled(conn, some))
    attempts.never_sent(conn, sorted(waiting), now)
    _hold(conn, sorted(waiting), now)
    return [one for one in some if one.id not in waiting]


def _hold(conn: Connection, ids: Sequence[str], now: int) -> None:
    """Let actions wait, or end those that have waited long enough."""
    if not ids:
        return
    over, rows = [], []
    for row in _since.run(conn, listed(conn, ids)).all():
        since = now if row.disabled_since is None else row.disabled_since
        until = since + WAITS_US
        if until <= now:
            until += sending.off_time(conn, since, now)
        if until <= now:
            over.append(row.id)
        else:
            rows.append((since, until, row.id))
    hold_for_endpoint(conn, rows)
    close_actions(conn, over, "skipped", ActionReason.ENDPOINT_DISABLED.value, now)


def hold_rest(conn: Connection, now: int) -> int:
    """Let wait what is not due yet of disabled endpoints, their retries; returns how many there were."""
    names = list(conn.scalars(select(table.c.name).where(table.c.disabled_at.is_not(None))))
    found = 0
    for channel in [spec.name for spec in CHANNELS.values() if spec.to_endpoints] if names else ():
        ids = _not_held.run(conn, listed(conn, names), channel, now, AT_ONCE).scalars().all()
        _hold(conn, ids, now)
        found += len(ids)
    return found


def let_go(conn: Connection, now: int) -> int:
    """Let go on what waits for endpoints that are not disabled any more; returns how many there were."""
    ids = _held.run(conn, AT_ONCE).scalars().all()
    if ids:
        _go_on.run(conn, now, listed(conn, ids))
    return len(ids)


def any_waits(conn: Connection) -> bool:
    """Whether any endpoint is disabled, or any webhook waits for one."""
    held = select(actions.c.seq).where(actions.c.disabled_since.is_not(None)).limit(1)
    off = select(table.c.name).where(table.c.disabled_at.is_not(None)).limit(1)
    return conn.execute(off).first() is not None or conn.execute(held).first() is not None


# -- rates


def take_turns(
    conn: Connection, rates: Mapping[str, float], wanted: Sequence[tuple[str, str]], now: int
) -> dict[str, int]:
    """Take turns for webhooks, (endpoint, action) each, that are about to begin. Returns those that have none yet, each
    with the moment at which to ask again.

    This is GCRA, the leaky bucket: `next_begin` is when the next one is due by the even pace; it may come a little
    early, and the pace is slower by as much and by `LATE_US`, so that no second of the receiver's sees more than
    `rate`.
    """
    rows = lock(conn, rates)
    later: dict[str, int] = {}
    for name in sorted(rates):
        due = rows[name].next_begin or 0
        for action in [action for endpoint, action in wanted if endpoint == name]:
            due, wait_until = turn(due, rates[name], now)
            if wait_until is not None:
                later[action] = wait_until
        if due != rows[name].next_begin:
            _take.run(conn, due, name)
    return later


def turn(due: int, rate: float, now: int) -> tuple[int, int | None]:
    """When the next one is due by the even pace, and None if this one may begin now, or else when to ask again."""
    early_ones = int(rate // BURST_PER_S)
    gap = -int(-(SECOND_US + LATE_US) // (rate - early_ones))  # rounded up
    if due - early_ones * gap <= now:
        return max(due, now) + gap, None
    return due, due - early_ones * gap
