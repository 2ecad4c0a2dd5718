"""Accounts that were merged: where into, what is on its way to the log for them, and which names were erased."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "r003"
down_revision = "r002"

SCHEMA = "rules"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables; no account was merged before."""
    add_column(SCHEMA, "rules_accounts", sa.Column("merged_into", sa.String(256)))
    op.create_table(
        "rules_outbox",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("offset", Long, primary_key=True, autoincrement=False),
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", Long, nullable=False),
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        schema=SCHEMA,
    )
    op.create_table("rules_erased", sa.Column("account", sa.LargeBinary(16), primary_key=True), schema=SCHEMA)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("rules_erased", schema=SCHEMA)
    op.drop_table("rules_outbox", schema=SCHEMA)
    drop_column(SCHEMA, "rules_accounts", "merged_into")
