"""Accounts as analysts read them: a row with what the API shows, kept beside the encoded state of each account.

The worker only marks an account whose profile changed (`shown` of its row). Who exports, and a chore every few seconds,
bring the rows up to date. What events alone move, the times of the first and the last one, follows once a minute: an
account with traffic would otherwise come again with every export. A new tier policy concerns all accounts: the chore
goes through them.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import msgspec
from sqlalchemy import Connection, Row, Select, bindparam, exists, select, update

from backbone.database import Database, upsert
from backbone.tables import facts
from schemas.event import rfc3339
from schemas.rule_answers import AccountOut
from services.rules.api.explain import Explainer
from services.rules.engine.state_codec import decode, encode_profile
from services.rules.storage.account_cache import profile_hash
from services.rules.storage.revisions import latest
from services.rules.tables import account_rows, accounts

AT_ONCE = 200  # accounts in one transaction
MOVED_AT_ONCE = 2_000  # rows of which only the times change
MOVED_EVERY_S = 60.0
PATIENCE_S = 5.0  # how long an export waits for rows; the chore brings up to date what is left
TIERS = "rules_account_rows_tiers"  # the fact: which tier policy all rows follow, and how they are shown
_FORM = crc32(msgspec.json.encode(AccountOut.model_json_schema()))
_TIMES = ("first_event_at", "last_event_at")
_encode = msgspec.json.Encoder().encode
_View = Callable[[Row[Any]], dict[str, Any]]


class AccountRows:
    """Brings the rows up to date. Safe to use from several threads and processes."""

    def __init__(
        self, db: Database, explainer: Explainer, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._db, self._explainer, self._monotonic = db, explainer, monotonic
        self._move_at = 0.0

    def sweep(self) -> None:
        """The chore."""
        self._follow_tiers()
        self.refresh()
        if self._monotonic() >= self._move_at:
            self.move()
            self._move_at = self._monotonic() + MOVED_EVERY_S

    def refresh(self, patience: float = PATIENCE_S) -> None:
        """Write the rows of the accounts that are marked, for at most so many seconds."""
        until = self._monotonic() + patience
        unshown = accounts.c.shown.is_(False)
        while self._monotonic() < until:
            with self._db.read() as conn:
                if not conn.scalar(select(exists().where(unshown))):
                    return
            view = self._explainer.account_view()
            with self._db.write() as conn:
                marked: Select[Any] = (
                    select(accounts).where(unshown).order_by(accounts.c.account).limit(AT_ONCE)
                )
                # what the worker writes at this moment it marks anew; it never waits for more than one account of ours
                rows = conn.execute(marked.with_for_update(skip_locked=True)).all()
                _write(conn, rows, view)
            if len(rows) < AT_ONCE:
                return

    def move(self) -> None:
        """Take over the times of the first and last event where nothing else has changed."""
        both = accounts.c.account == account_rows.c.account
        times = (accounts.c.earliest, accounts.c.newest)
        later = (accounts.c.newest > account_rows.c.last_event_at) | (
            accounts.c.earliest < account_rows.c.first_event_at
        )
        query = select(account_rows.c.seq.label("b_seq"), *times).where(both, later).limit(MOVED_AT_ONCE)
        moved = update(account_rows).where(account_rows.c.seq == bindparam("b_seq"))
        moved = moved.values(first_event_at=bindparam("earliest"), last_event_at=bindparam("newest"))
        while True:
            with self._db.write() as conn:
                locked = query.with_for_update(of=account_rows, skip_locked=True)
                rows = [dict(row._mapping) for row in conn.execute(locked)]  # noqa: SLF001 - public
                if rows:
                    conn.execute(moved, rows)
            if len(rows) < MOVED_AT_ONCE:
                return

    def _follow_tiers(self) -> None:
        """Mark the accounts that are shown otherwise under the tier policy in force, or by this release."""
        with self._db.read() as conn:
            policy = latest(conn, None)
            followed = conn.execute(select(facts.c.value).where(facts.c.name == TIERS)).scalar()
        current = f"{0 if policy is None else policy.revision} {_FORM}".encode()
        if followed is not None and current == bytes(followed):
            return
        view = self._explainer.account_view()
        last = ""
        while True:
            query: Select[Any] = select(accounts.c.account, accounts.c.state, account_rows.c.doc)
            query = query.join_from(accounts, account_rows, account_rows.c.account == accounts.c.account)
            with self._db.read() as conn:
                part = query.where(accounts.c.account > last).order_by(accounts.c.account).limit(AT_ONCE)
                rows = conn.execute(part).all()
            self._mark([row.account for row in rows if _doc(view(row)) != bytes(row.doc)])
            if len(rows) < AT_ONCE:
                break
            last = rows[-1].account
        with self._db.write() as conn:
            upsert(conn, facts, [{"name": TIERS, "value": current}], ["name"])

    def _mark(self, names: Sequence[str]) -> None:
        """On PostgreSQL one at a time: who locks several could wait for the worker, and the worker for them."""
        at_once = 1 if self._db.dialect == "postgresql" else AT_ONCE
        for start in range(0, len(names), at_once):
            with self._db.write() as conn:
                part = accounts.c.account.in_(names[start : start + at_once])
                conn.execute(update(accounts).where(part).values(shown=False))


def _write(conn: Connection, rows: Sequence[Row[Any]], view: _View) -> None:
    made, hashes = [], []
    for row in rows:
        state = decode(row.state)
        made.append(
            {
                "account": row.account,
                "doc": _doc(view(row)),
                "first_event_at": state.earliest,
                "last_event_at": state.newest,
            }
        )
        hashes.append(
            {
                "b_account": row.account,
                "profile_hash": profile_hash(row.account, encode_profile(state.profile)),
                "shown": True,
            }
        )
    upsert(conn, account_rows, made, ["account"])
    if hashes:
        conn.execute(update(accounts).where(accounts.c.account == bindparam("b_account")), hashes)


def _doc(shown: dict[str, Any]) -> bytes:
    """What the API shows of an account, without the times that have columns of their own."""
    return _encode({name: value for name, value in shown.items() if name not in _TIMES})


def shown(row: Row[Any]) -> dict[str, Any]:
    """A row as the API shows its account."""
    doc: dict[str, Any] = msgspec.json.decode(row.doc)
    times = {"first_event_at": rfc3339(row.first_event_at), "last_event_at": rfc3339(row.last_event_at)}
    return {name: times.get(name) or doc.get(name) for name in AccountOut.model_fields}
