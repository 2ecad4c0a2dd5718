"""Collects what ingest keeps about an account or a person: users from Segment's calls, and where the calls went."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, or_, select

from backbone.database import Database
from backbone.web.account_record import Parts, as_dict, rows
from schemas.event import rfc3339
from services.ingest.tables import calls, group_calls, ties, users

HIDDEN = ("name", "follows", "told", "lone")  # columns for finding rows, and for work still to do


def record(db: Database, account: str, contact: str | None) -> Parts:
    """The parts of the record. An account's users are those who belong to it, and the one who stands for it alone."""
    members = select(group_calls.c.user).where(group_calls.c.group == account)
    callers = select(calls.c.user).where(calls.c.account == account)
    people = or_(users.c.user.in_(members), users.c.user.in_(callers), users.c.user == account)
    grouped = or_(group_calls.c.group == account, group_calls.c.user == account)
    called = calls.c.account == account
    if contact is not None:
        people &= users.c.user == contact
        grouped &= group_calls.c.user == contact
        called &= or_(calls.c.user == contact, calls.c.contact == contact)
    theirs = select(users.c.user).where(people)
    tied = or_(ties.c.user.in_(theirs), ties.c.anonymous.in_(theirs))
    keys = [group_calls.c.user, group_calls.c.unvouched, group_calls.c.time]
    yield "users", rows(db, select(users).where(people), [users.c.user, users.c.unvouched], _shown)
    yield "group_calls", rows(db, select(group_calls).where(grouped), keys, _shown)
    order = [ties.c.anonymous, ties.c.unvouched, ties.c.time]
    yield "ties", rows(db, select(ties).where(tied), order, _shown)
    yield "calls", rows(db, select(calls).where(called), [calls.c.name], _shown)


def _shown(_: Connection, row: Row[Any]) -> dict[str, Any]:
    found = as_dict(row, *HIDDEN)
    for name in ("time", "received_at"):
        if name in found:
            found[name] = rfc3339(found[name])
    if "traits" in found:
        found["traits"] = None if found["traits"] is None else msgspec.json.decode(found["traits"])
    return found
