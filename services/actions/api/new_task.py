"""`POST /v1/tasks`: a task made by hand. From then on it is like any other task."""

from typing import Any

import uuid_utils
from sqlalchemy import Connection, select

from backbone.errors import Invalid, NameTaken
from backbone.log import partition_for
from schemas.event import microseconds
from schemas.lint.single import LintWarning
from schemas.profile import Profile
from schemas.task import TaskIn
from services.actions.plays.model import TaskSpec
from services.actions.storage import outbox, task_rows
from services.actions.storage.plays import PlayStore
from services.actions.tables import tasks

LATEST_US = 253_402_300_799_000_000  # the end of the year 9999


def make(conn: Connection, body: TaskIn, now: int, partitions: int) -> tuple[Any, list[LintWarning]]:
    """The row of the new task, and warnings about it. Raises `Invalid`, `NameTaken`."""
    if body.contact is not None and body.account is None:
        raise Invalid([{"field": "account", "message": "is required where there is a contact"}])
    profile = None if body.account is None else profile_of(conn, body.account, partitions)
    if profile is not None and profile.closed is not None:
        message = f"was merged into {profile.closed.into!r}, which goes on for it"
        raise Invalid([{"field": "account", "message": message}])
    task = f"tsk_{uuid_utils.uuid7().hex}"
    key = body.key or task
    if body.key is not None:
        _free(conn, body.account or "", key)
    spec = TaskSpec(
        title=body.title,
        body=body.body,
        assignee=owner_of(profile) if body.assignee == "owner" else body.assignee,
        due_at=None if body.due_at is None else min(microseconds(body.due_at), LATEST_US),
        priority=body.priority,
        key=key,
        default_key=key,
    )
    partition = partition_for(body.account or "", partitions)
    task_rows.insert_by_hand(conn, task, body, spec, now, partition)
    row = conn.execute(select(tasks).where(tasks.c.id == task)).one()
    if body.account is not None:
        outbox.emit(conn, [task_rows.made_event(row)], partitions)
    return row, _doubts(body, profile)


def profile_of(conn: Connection, account: str, partitions: int) -> Profile | None:
    """The account's profile, or None."""
    return PlayStore(0, partitions, lambda: conn).profile(account)


def owner_of(profile: Profile | None) -> str:
    """The address of an account's owner. Raises `Invalid`."""
    if profile is None or profile.owner is None or not profile.owner.email:
        raise Invalid([{"field": "assignee", "message": "the account has no owner with an address"}])
    return profile.owner.email


def _free(conn: Connection, account: str, key: str) -> None:
    found = task_rows.open_task(conn, account, key)
    if found is not None:
        raise NameTaken(f"the task {found.id} with the key {key!r} is open", code="key_taken")


def _doubts(body: TaskIn, profile: Profile | None) -> list[LintWarning]:
    """Warnings about an unknown account or contact: after a typing error nobody finds the task with the account."""
    if body.account is not None and profile is None:
        return [{"field": "account", "message": f"nothing is known of an account {body.account!r} here"}]
    if body.contact is not None and profile is not None and body.contact not in profile.contacts:
        return [{"field": "contact", "message": f"the account has no contact {body.contact!r}"}]
    return []
