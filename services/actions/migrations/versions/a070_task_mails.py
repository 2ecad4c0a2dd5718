"""Mails to assignees about their tasks."""

import sqlalchemy as sa
from alembic import op

revision = "a070"
down_revision = "a064"

SCHEMA = "actions"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables: nobody has asked for such mails yet."""
    op.create_table(
        "actions_task_mails",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("assigned", sa.String(320), nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("moment", Long),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("detail", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", Long, nullable=False),
        sa.Column("next_attempt_at", Long),
        sa.Column("begun_at", Long),
        sa.Column("attempting", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("lease_until", Long),
        sa.Column("done_at", Long),
        schema=SCHEMA,
    )
    op.create_index("actions_task_mails_next", "actions_task_mails", ["next_attempt_at"], schema=SCHEMA)
    op.create_index(
        "actions_task_mails_recent", "actions_task_mails", ["assigned", "kind", "due_at"], schema=SCHEMA
    )
    op.create_table(
        "actions_task_mail_items",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("assigned", sa.String(320), nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("handed_over", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("mail", sa.String(64)),
        schema=SCHEMA,
    )
    op.create_index("actions_task_mail_items_mail", "actions_task_mail_items", ["mail"], schema=SCHEMA)
    op.create_index("actions_task_mail_items_task", "actions_task_mail_items", ["task"], schema=SCHEMA)
    op.create_index(
        "actions_task_mail_items_waiting",
        "actions_task_mail_items",
        ["assigned"],
        schema=SCHEMA,
        sqlite_where=sa.text("mail IS NULL"),
        postgresql_where=sa.text("mail IS NULL"),
    )
    op.create_table(
        "actions_task_mail_clock",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("told_upto", Long),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop them; what was not sent is not sent."""
    for name in ("actions_task_mail_clock", "actions_task_mail_items", "actions_task_mails"):
        op.drop_table(name, schema=SCHEMA)
