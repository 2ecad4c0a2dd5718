"""Everything that the actions service keeps about an account or a person."""

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, or_, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.web.account_record import AT_ONCE, Parts, as_dict, rows
from schemas.event import rfc3339
from schemas.profile import Profile
from services.actions.api.suppressions import view as suppression_view
from services.actions.api.views import action_view, attempt_view, case_of, play_view, report_view, task_view
from services.actions.channels import NEED_CONSENT
from services.actions.storage import mail_reports
from services.actions.storage.suppressions import Hasher
from services.actions.tables import (
    accounts,
    actions,
    attempts,
    digest_items,
    history,
    plays,
    suppressions,
    tasks,
)

_profile = msgspec.json.Decoder(Profile).decode


def record(db: Database, hasher: Hasher, clock: Clock, account: str, contact: str | None) -> Parts:
    """Everything about an account; with a contact, that person's whole plays, and the actions and tasks for them."""
    with db.read() as conn:
        known = conn.scalar(select(accounts.c.profile).where(accounts.c.account == account))
    profile = Profile(id=account) if known is None else _profile(known)
    people = list(profile.contacts.values()) if contact is None else [profile.contacts.get(contact)]
    if contact is None:
        yield "account", None if known is None else profile
    else:
        yield "contact", people[0]
    of_plays, of_actions, of_tasks = (table.c.account == account for table in (plays, actions, tasks))
    if contact is not None:
        of_plays &= plays.c.contact == contact
        mine = select(plays.c.id).where(of_plays)
        of_actions &= or_(actions.c.contact == contact, actions.c.play.in_(mine))
        of_tasks &= or_(tasks.c.contact == contact, tasks.c.play.in_(mine))
    steps = select(history).where(history.c.play.in_(select(plays.c.id).where(of_plays)))
    now = clock.now()
    yield "plays", rows(db, select(plays).where(of_plays), [plays.c.seq], _play)
    yield "history", rows(db, steps, [history.c.seq], _step)
    yield "actions", rows(db, select(actions).where(of_actions), [actions.c.seq], _action)
    yield "tasks", rows(db, select(tasks).where(of_tasks), [tasks.c.seq], lambda _, row: task_view(row, now))
    of_items = digest_items.c.account == account
    if contact is not None:
        of_items &= or_(digest_items.c.contact == contact, digest_items.c.play.in_(mine))
    yield "digest_items", rows(db, select(digest_items).where(of_items), [digest_items.c.seq], _digest_item)
    addresses = {one.email for one in people if one is not None and one.email}
    addresses |= _written_to(
        db, of_actions if contact is None else of_actions & (actions.c.contact == contact)
    )
    yield "suppressions", _suppressions(db, sorted({hasher.digest(address) for address in addresses}))


def _written_to(db: Database, whose: Any) -> set[str]:
    """The addresses of contacts, former ones too, to which mails went."""
    mails = (
        actions.c.channel.in_(NEED_CONSENT)
        & actions.c.contact.is_not(None)
        & actions.c.recipient.is_not(None)
    )
    with db.read() as conn:
        return set(conn.scalars(select(actions.c.recipient).where(whose, mails).distinct()))


def _suppressions(db: Database, digests: list[str]) -> Iterator[Any]:
    for start in range(0, len(digests), AT_ONCE):
        part = suppressions.c.address.in_(digests[start : start + AT_ONCE])
        yield from rows(
            db, select(suppressions).where(part), [suppressions.c.seq], lambda _, row: suppression_view(row)
        )


def _play(_: Connection, row: Row[Any]) -> dict[str, Any]:
    return {**play_view(row), "trigger_document": row.trigger, "watched": row.watched or {}}


def _step(_: Connection, row: Row[Any]) -> dict[str, Any]:
    return {**as_dict(row, "seq", "account"), "at": rfc3339(row.at)}


def _digest_item(_: Connection, row: Row[Any]) -> dict[str, Any]:
    return {**row.item, **row.scope, "action": row.action, "at": rfc3339(row.item["at"])}


def _action(conn: Connection, row: Row[Any]) -> dict[str, Any]:
    tried = select(attempts).where(attempts.c.action == row.id).order_by(attempts.c.n)
    return {
        **action_view(row),
        "rendered": row.rendered,
        "history": [
            *(attempt_view(one, case_of(row)) for one in conn.execute(tried)),
            *(
                report_view(one, row.attempts, case_of(row))
                for one in mail_reports.of_actions(conn, [row.id])
            ),
        ],
    }
