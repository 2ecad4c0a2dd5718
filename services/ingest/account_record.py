"""Collects what ingest keeps about an account or a person: users from Segment's calls, where the calls went, by what
the account is found, and parked events that asked for it."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from backbone.database import Database
from backbone.web.account_record import Parts, as_dict, rows
from schemas.event import rfc3339
from services.ingest.identity.directory import Directory
from services.ingest.tables import (
    calls,
    directory,
    group_calls,
    placed,
    ties,
    unmatched,
    unmatched_keys,
    users,
)

HIDDEN = ("name", "follows", "told", "lone")  # columns for finding rows, and for work still to do
OF_PARKED = ("seq", "name", "partition", "due", "going")


def record(db: Database, found_by: Directory, account: str, contact: str | None) -> Parts:
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
    yield from _of_directory(db, found_by.id_key(account), account, contact)


def _of_directory(db: Database, id_key: bytes, account: str, contact: str | None) -> Parts:
    """By what the account, or the person, is found; for an account, also which sources' events went to it."""
    mine: ColumnElement[bool] = directory.c.account == account
    if contact is not None:
        mine = and_(mine, directory.c.kind == "email", directory.c.name == contact)
    entries = select(directory.c.kind, directory.c.name, directory.c.text).where(mine)
    order = [directory.c.kind, directory.c.name]
    yield "directory", rows(db, entries.add_columns(directory.c.key), [*order, directory.c.key], _entry)
    asked: ColumnElement[bool] = unmatched_keys.c.key.in_(
        select(directory.c.key).where(mine, directory.c.key != b"")
    )
    if contact is None:
        asked = or_(asked, unmatched_keys.c.key == id_key)
        events = select(placed).where(placed.c.account == account)
        yield "source_events", rows(db, events, [placed.c.name], _shown)
    parked = select(unmatched).where(unmatched.c.seq.in_(select(unmatched_keys.c.event).where(asked)))
    yield "unmatched", rows(db, parked, [unmatched.c.seq], _parked)


def _entry(_: Connection, row: Row[Any]) -> dict[str, Any]:
    return as_dict(row, "key")


def _parked(_: Connection, row: Row[Any]) -> dict[str, Any]:
    found = as_dict(row, *OF_PARKED)
    decoded = {name: msgspec.json.decode(found[name]) for name in ("event", "whose")}
    return {**found, **decoded, "received_at": rfc3339(found["received_at"])}


def _shown(_: Connection, row: Row[Any]) -> dict[str, Any]:
    found = as_dict(row, *HIDDEN)
    for name in ("time", "received_at"):
        if name in found:
            found[name] = rfc3339(found[name])
    if "traits" in found:
        found["traits"] = None if found["traits"] is None else msgspec.json.decode(found["traits"])
    return found
