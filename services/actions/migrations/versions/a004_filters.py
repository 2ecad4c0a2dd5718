"""What lists are narrowed and sorted by: owners of accounts, rule and tier of actions and tasks, addresses as they
compare, how urgent a task is; and what completes a task."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column
from schemas.profile import Profile
from services.actions.storage import search_columns

revision = "a004"
down_revision = "a003"

SCHEMA = "actions"
AT_ONCE = 1_000
NEVER = 9_000_000_000_000_000_000
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_room = sa.MetaData(schema=SCHEMA)


def _plain(table: str, *columns: str, key: str = "seq") -> sa.Table:
    return sa.Table(
        f"actions_{table}", _room, *(sa.Column(name, primary_key=name == key) for name in (key, *columns))
    )


accounts = _plain("accounts", "profile", "owner", key="account")
plays = _plain("plays", "id", "rule", "tier")
actions = _plain("actions", "play", "channel", "recipient", "rule", "tier", "addressee")
tasks = _plain(
    "tasks", "play", "assignee", "priority", "rule", "tier", "assigned", "urgency", "due_at", "due_or_never"
)
NEW: dict[str, dict[str, Any]] = {
    "accounts": {"owner": sa.String(320)},
    "actions": {"rule": sa.String(256), "tier": sa.String(16), "addressee": sa.String(320)},
    "tasks": {
        "rule": sa.String(256), "tier": sa.String(16), "assigned": sa.String(320), "note": sa.Text, "outcome": sa.Text,
        "completed_by": sa.String(256),
    },
}  # fmt: skip
LAST: list[tuple[str, Any, int]] = [
    ("urgency", sa.Integer, search_columns.NO_WORD),
    ("due_or_never", Long, NEVER),
]
INDEXES: dict[str, dict[str, list[Any]]] = {
    "accounts": {"owner": ["owner"]},
    "plays": {
        "rule": ["rule", "seq"], "reason": ["reason", "seq"], "tier": ["tier", "seq"],
        "started": ["started_at", "seq"],
    },
    "actions": {
        "rule": ["rule", "seq"], "reason": ["reason", "seq"], "tier": ["tier", "seq"], "due": ["due_at", "seq"],
        "playbook": ["playbook", "seq"], "channel": ["channel", "seq"], "addressee": ["addressee", "seq"],
    },
    "tasks": {
        "rule": ["rule", "seq"], "reason": ["reason", "seq"], "tier": ["tier", "seq"],
        "created": ["created_at", "seq"], "playbook": ["playbook", "seq"], "priority": ["priority", "seq"],
        "assigned": ["assigned", "seq"], "due": ["due_or_never", "seq"],
        "urgency": ["urgency", "due_or_never", "seq"],
    },
}  # fmt: skip


def upgrade() -> None:
    """Add the columns, fill them from what is stored, a thousand rows at a time, then make the indexes."""
    for table, columns in NEW.items():
        for name, type_ in columns.items():
            add_column(SCHEMA, f"actions_{table}", sa.Column(name, type_))
    for name, type_, default in LAST:
        column = sa.Column(name, type_, nullable=False, server_default=str(default))
        add_column(SCHEMA, "actions_tasks", column)
    conn = op.get_bind()
    _fill(conn, accounts, "account", sa.select(accounts.c.account, accounts.c.profile), _of_account)
    of_actions: list[Any] = [actions.c.seq, actions.c.channel, actions.c.recipient]
    _fill(conn, actions, "seq", _with_plays(actions, of_actions), _of_action)
    of_tasks: list[Any] = [tasks.c.seq, tasks.c.assignee, tasks.c.priority, tasks.c.due_at]
    _fill(conn, tasks, "seq", _with_plays(tasks, of_tasks), _of_task)
    for table, indexes in INDEXES.items():
        for name, parts in indexes.items():
            op.create_index(f"actions_{table}_{name}", f"actions_{table}", parts, schema=SCHEMA)
    op.drop_index("actions_tasks_assignee", "actions_tasks", schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    op.create_index("actions_tasks_assignee", "actions_tasks", ["assignee", "seq"], schema=SCHEMA)
    for table, indexes in INDEXES.items():
        for name in indexes:
            op.drop_index(f"actions_{table}_{name}", f"actions_{table}", schema=SCHEMA)
    for table, columns in NEW.items():
        for name in columns:
            drop_column(SCHEMA, f"actions_{table}", name)
    for name, *_ in LAST:
        drop_column(SCHEMA, "actions_tasks", name)


def _with_plays(table: sa.Table, columns: list[Any]) -> sa.Select[Any]:
    joined = sa.outerjoin(table, plays, plays.c.id == table.c.play)
    return sa.select(*columns, plays.c.rule, plays.c.tier).select_from(joined)


def _fill(
    conn: sa.Connection,
    table: sa.Table,
    key: str,
    query: sa.Select[Any],
    made: Callable[[Any], dict[str, Any]],
) -> None:
    for rows in _parts(conn, table.c[key], query):
        values = [{"at": row[0], **made(row)} for row in rows]
        names = [name for name in values[0] if name != "at"]
        change: dict[str, Any] = {name: sa.bindparam(f"to_{name}") for name in names}
        conn.execute(
            sa.update(table).where(table.c[key] == sa.bindparam("at")).values(change),
            [{"at": each["at"], **{f"to_{name}": each[name] for name in names}} for each in values],
        )


def _parts(conn: sa.Connection, key: sa.Column[Any], query: sa.Select[Any]) -> Iterator[list[Any]]:
    rows = list(conn.execute(query.order_by(key).limit(AT_ONCE)))
    while rows:
        yield rows
        rows = list(conn.execute(query.where(key > rows[-1][0]).order_by(key).limit(AT_ONCE)))


def _of_account(row: Any) -> dict[str, Any]:
    return {"owner": search_columns.owner(msgspec.json.decode(row.profile, type=Profile))}


def _of_action(row: Any) -> dict[str, Any]:
    addressee = search_columns.recipient(row.recipient, row.channel)
    return {"rule": row.rule, "tier": row.tier, "addressee": addressee}


def _of_task(row: Any) -> dict[str, Any]:
    return {
        "rule": row.rule,
        "tier": row.tier,
        "assigned": search_columns.address(row.assignee),
        "urgency": search_columns.urgency(row.priority),
        "due_or_never": NEVER if row.due_at is None else row.due_at,
    }
