"""What plays went through without an action, and the values that must stay as they were."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a002"
down_revision = "a001"

SCHEMA = "actions"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows by itself only as INTEGER


def upgrade() -> None:
    """Make the table; plays that are under way watch nothing, as their playbooks asked for nothing."""
    op.create_table(
        "actions_history",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("play", sa.String(64), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("step", sa.String(256), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("at", Long, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("actions_history_play", "actions_history", ["play", "seq"], unique=False, schema=SCHEMA)
    op.create_index("actions_history_account", "actions_history", ["account"], unique=False, schema=SCHEMA)
    add_column(SCHEMA, "actions_plays", sa.Column("watched", sa.JSON))


def downgrade() -> None:
    """Drop them."""
    drop_column(SCHEMA, "actions_plays", "watched")
    op.drop_table("actions_history", schema=SCHEMA)
