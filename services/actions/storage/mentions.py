"""Removes an erased contact from the actions, tasks and digests of others at the account. SQL only.

The address and the full name are removed, and the whole contact where a webhook lists the account's contacts.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Text, cast, or_, select, update

from services.actions.tables import actions, digest_items, tasks

INSTEAD = "[erased]"
AT_ONCE = 200
LEAST = 4  # characters; a shorter name is not removed


def unname(conn: Connection, account: str, contact: str, said: Iterable[str | None]) -> None:
    """Take a contact out of the actions, tasks and digests that stay. `said`: the contact's addresses and names."""
    words = sorted({one for one in said if one is not None and _telling(one)}, key=len, reverse=True)
    marks = [json.dumps({"id": contact})[1:-1], *(json.dumps(word)[1:-1] for word in words)]
    mails = actions.c.id.in_(select(digest_items.c.action).where(digest_items.c.account == account))
    for whose, text in (
        (actions.c.account == account, actions.c.rendered),
        (mails, actions.c.rendered),
        (digest_items.c.account == account, digest_items.c.scope),
    ):
        _rewrite(conn, whose, text, marks, lambda value: _without(value, contact, words))
    for column in (tasks.c.title, tasks.c.body):
        _rewrite(
            conn, tasks.c.account == account, column, words, lambda value: _without(value, contact, words)
        )


def _telling(word: str) -> bool:
    """Whether this is an address or a name of several parts; a first name alone is part of many other words."""
    return len(word) >= LEAST and ("@" in word or " " in word.strip())


def _rewrite(
    conn: Connection, whose: ColumnElement[bool], column: Column[Any], marks: Sequence[str], change: Any
) -> None:
    """Change the values of a column that contain one of the marks."""
    if not marks:
        return
    table = column.table
    mentions = or_(*(cast(column, Text).contains(mark, autoescape=True) for mark in marks))
    query = select(table.c.seq, column.label("value")).where(whose, mentions)
    last = 0
    while rows := conn.execute(query.where(table.c.seq > last).order_by(table.c.seq).limit(AT_ONCE)).all():
        last = rows[-1].seq
        for row in rows:
            changed = change(row.value)
            if changed != row.value:
                conn.execute(update(table).where(table.c.seq == row.seq).values({column.name: changed}))


def _without(value: Any, contact: str, words: Sequence[str]) -> Any:
    if isinstance(value, str):
        for word in words:
            value = value.replace(word, INSTEAD)
        return value
    if isinstance(value, list):
        return [_without(one, contact, words) for one in value if not _is(one, contact)]
    if isinstance(value, dict):
        return {
            name: None if _is(one, contact) else _without(one, contact, words) for name, one in value.items()
        }
    return value


def _is(value: Any, contact: str) -> bool:
    """Whether this is the contact as templates and webhooks see it."""
    return isinstance(value, dict) and value.get("id") == contact and {"email", "roles"} <= value.keys()
