"""How deep in Touchline's answers to itself a play was begun; what was under way before began with an event from
outside, as far as anybody knows."""

import sqlalchemy as sa

from backbone.migrations import add_column, drop_column

revision = "a003"
down_revision = "a002"


def upgrade() -> None:
    """Add the column."""
    add_column("actions", "actions_plays", sa.Column("depth", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop it."""
    drop_column("actions", "actions_plays", "depth")
