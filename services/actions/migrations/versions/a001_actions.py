"""Partitions, accounts, plays, actions, attempts, tasks, the outbox, suppressions, and the documents."""

import sqlalchemy as sa
from alembic import op

revision = "a001"
down_revision = None

TABLES = (
    "documents",
    "versions",
    "partitions",
    "accounts",
    "seen",
    "plays",
    "actions",
    "attempts",
    "tasks",
    "outbox",
    "suppressions",
)
SCHEMA = "actions"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows by itself only as INTEGER


def upgrade() -> None:
    """Make the tables."""
    _documents()
    _versions()
    _partitions()
    _accounts()
    _seen()
    _plays()
    _actions()
    _attempts()
    _tasks()
    _outbox()
    _suppressions()


def downgrade() -> None:
    """Drop the tables."""
    for name in TABLES:
        op.drop_table(f"actions_{name}", schema=SCHEMA)


def _documents() -> None:
    op.create_table(
        "actions_documents",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.UniqueConstraint("kind", "name", name="uq_actions_documents_kind_name"),
        schema=SCHEMA,
    )


def _versions() -> None:
    op.create_table(
        "actions_versions",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("doc", sa.JSON, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("changed_by", sa.String(256), nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        schema=SCHEMA,
    )


def _partitions() -> None:
    op.create_table(
        "actions_partitions",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", Long, nullable=False),
        sa.Column("next_event", Long, nullable=False),
        sa.Column("next_trigger", Long, nullable=False),
        sa.Column("past", Long, nullable=False),
        sa.Column("clock", Long, nullable=False),
        schema=SCHEMA,
    )


def _accounts() -> None:
    op.create_table(
        "actions_accounts",
        sa.Column("account", sa.String(256), primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("profile", sa.LargeBinary, nullable=False),
        schema=SCHEMA,
    )


def _seen() -> None:
    op.create_table(
        "actions_seen",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary(16), primary_key=True),
        sa.Column("time", Long, nullable=False),
        sa.Column("at", Long, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("actions_seen_at", "actions_seen", ["partition", "at"], unique=False, schema=SCHEMA)


def _plays() -> None:
    op.create_table(
        "actions_plays",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("playbook", sa.String(256), nullable=False),
        sa.Column("playbook_version", sa.Integer),
        sa.Column("rule", sa.String(256), nullable=False),
        sa.Column("trigger_id", sa.String(64), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("contact", sa.String(256)),
        sa.Column("key", sa.Text),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("tier", sa.String(16), nullable=False),
        sa.Column("topic", sa.String(256), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("step", sa.String(256)),
        sa.Column("started_at", Long, nullable=False),
        sa.Column("ended_at", Long),
        sa.Column("due_at", Long),
        sa.Column("until", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("dated", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("trigger", sa.JSON, nullable=False),
        sa.Column("templates", sa.JSON, nullable=False),
        schema=SCHEMA,
    )
    op.create_index(
        "actions_plays_account", "actions_plays", ["account", "status"], unique=False, schema=SCHEMA
    )
    op.create_index(
        "actions_plays_due", "actions_plays", ["partition", "due_at"], unique=False, schema=SCHEMA
    )
    op.create_index(
        "actions_plays_playbook", "actions_plays", ["playbook", "seq"], unique=False, schema=SCHEMA
    )
    op.create_index("actions_plays_status", "actions_plays", ["status", "seq"], unique=False, schema=SCHEMA)


def _actions() -> None:
    op.create_table(
        "actions_actions",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("play", sa.String(64), nullable=False),
        sa.Column("playbook", sa.String(256), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("contact", sa.String(256)),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("step", sa.String(256), nullable=False),
        sa.Column("recipient", sa.Text),
        sa.Column("topic", sa.String(256), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_at", Long, nullable=False),
        sa.Column("due_at", Long, nullable=False),
        sa.Column("done_at", Long),
        sa.Column("next_attempt_at", Long),
        sa.Column("attempting", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("lease_until", Long),
        sa.Column("rendered", sa.JSON),
        schema=SCHEMA,
    )
    op.create_index(
        "actions_actions_account", "actions_actions", ["account", "seq"], unique=False, schema=SCHEMA
    )
    op.create_index(
        "actions_actions_next", "actions_actions", ["next_attempt_at"], unique=False, schema=SCHEMA
    )
    op.create_index("actions_actions_play", "actions_actions", ["play", "seq"], unique=False, schema=SCHEMA)
    op.create_index(
        "actions_actions_status", "actions_actions", ["status", "seq"], unique=False, schema=SCHEMA
    )


def _attempts() -> None:
    op.create_table(
        "actions_attempts",
        sa.Column("action", sa.String(64), primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("started_at", Long, nullable=False),
        sa.Column("ended_at", Long),
        sa.Column("outcome", sa.String(16)),
        sa.Column("reason", sa.String(64)),
        sa.Column("detail", sa.Text),
        schema=SCHEMA,
    )


def _tasks() -> None:
    op.create_table(
        "actions_tasks",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("play", sa.String(64), nullable=False),
        sa.Column("playbook", sa.String(256), nullable=False),
        sa.Column("step", sa.String(256), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("contact", sa.String(256)),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text),
        sa.Column("assignee", sa.Text),
        sa.Column("reassigned", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("priority", sa.String(64)),
        sa.Column("key", sa.String(512), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("due_at", Long),
        sa.Column("snoozed_until", Long),
        sa.Column("created_at", Long, nullable=False),
        sa.Column("completed_at", Long),
        schema=SCHEMA,
    )
    op.create_index(
        "actions_tasks_assignee", "actions_tasks", ["assignee", "seq"], unique=False, schema=SCHEMA
    )
    op.create_index(
        "actions_tasks_identity", "actions_tasks", ["account", "key", "status"], unique=False, schema=SCHEMA
    )
    op.create_index("actions_tasks_play", "actions_tasks", ["play"], unique=False, schema=SCHEMA)
    op.create_index("actions_tasks_status", "actions_tasks", ["status", "seq"], unique=False, schema=SCHEMA)


def _outbox() -> None:
    op.create_table(
        "actions_outbox",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        schema=SCHEMA,
    )
    op.create_index(
        "actions_outbox_partition", "actions_outbox", ["partition", "seq"], unique=False, schema=SCHEMA
    )


def _suppressions() -> None:
    op.create_table(
        "actions_suppressions",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("topic", sa.String(256), nullable=False),
        sa.Column("shown", sa.String(512)),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("created_at", Long, nullable=False),
        sa.UniqueConstraint("address", "topic", name="actions_suppressions_address"),
        schema=SCHEMA,
    )
    op.create_index(
        "actions_suppressions_shown", "actions_suppressions", ["shown"], unique=False, schema=SCHEMA
    )
