"""Partitions, accounts, revisions of rules and tiers, triggers, what was seen."""

import sqlalchemy as sa
from alembic import op

revision = "r001"
down_revision = None

Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows by itself only as INTEGER


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "rules_partitions",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", Long, nullable=False),
        sa.Column("next_offset", Long, nullable=False),
        sa.Column("clock", Long, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        schema="rules",
    )
    op.create_table(
        "rules_accounts",
        sa.Column("account", sa.String(256), primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("seen_at", Long, nullable=False),
        sa.Column("due_at", Long),
        sa.Column("state", sa.LargeBinary, nullable=False),
        schema="rules",
    )
    op.create_index("rules_accounts_due", "rules_accounts", ["partition", "due_at"], schema="rules")
    op.create_index("rules_accounts_seen", "rules_accounts", ["seen_at", "account"], schema="rules")
    op.create_table(
        "rules_seen",
        sa.Column("type", sa.String(256), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        schema="rules",
    )
    _revisions()
    _triggers()


def _revisions() -> None:
    op.create_table(
        "rules_revisions",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(256)),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False, server_default="0"),
        sa.Column("unless_generation", sa.Integer, nullable=False, server_default="0"),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("backfill", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("doc", sa.JSON, nullable=False),
        sa.Column("changed_by", sa.String(256), nullable=False),
        sa.Column("changed_at", Long, nullable=False),
        sa.Column("announced", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.UniqueConstraint("name", "version", name="rules_revisions_version"),
        schema="rules",
    )


def _triggers() -> None:
    op.create_table(
        "rules_triggers",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(256), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("contact", sa.String(256)),
        sa.Column("at", Long, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
        sa.Column("relayed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.UniqueConstraint("id", name="rules_triggers_id"),
        schema="rules",
    )
    for name, columns in (("rule", ["rule", "seq"]), ("account", ["account", "seq"]), ("at", ["at", "seq"])):
        op.create_index(f"rules_triggers_{name}", "rules_triggers", columns, schema="rules")
    op.create_index("rules_triggers_outbox", "rules_triggers", ["partition", "relayed"], schema="rules")


def downgrade() -> None:
    """Drop the tables."""
    for table in ("rules_seen", "rules_triggers", "rules_revisions", "rules_accounts", "rules_partitions"):
        op.drop_table(table, schema="rules")
