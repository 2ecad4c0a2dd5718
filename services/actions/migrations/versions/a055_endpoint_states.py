"""Endpoints that fail or are disabled, the webhooks that wait for them, and rates."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a055"
down_revision = "a045"

SCHEMA = "actions"


def upgrade() -> None:
    """Make the table, the column and the index. No endpoint fails yet."""
    op.create_table(
        "actions_endpoint_states",
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("failing_since", sa.BigInteger),
        sa.Column("reason", sa.String(64)),
        sa.Column("disabled_at", sa.BigInteger),
        sa.Column("next_begin", sa.BigInteger),
        schema=SCHEMA,
    )
    add_column(SCHEMA, "actions_actions", sa.Column("disabled_since", sa.BigInteger))
    only = sa.text("disabled_since IS NOT NULL")
    op.create_index(
        "actions_actions_disabled",
        "actions_actions",
        ["recipient"],
        schema=SCHEMA,
        sqlite_where=only,
        postgresql_where=only,
    )


def downgrade() -> None:
    """Drop them: webhooks that waited go out when their time to wait is over."""
    op.drop_index("actions_actions_disabled", "actions_actions", schema=SCHEMA)
    drop_column(SCHEMA, "actions_actions", "disabled_since")
    op.drop_table("actions_endpoint_states", schema=SCHEMA)
