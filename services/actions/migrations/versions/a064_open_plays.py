"""Open plays by where they stand."""

import sqlalchemy as sa
from alembic import op

revision = "a064"
down_revision = "a061"

OPEN = sa.text("status = 'open'")


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        "actions_plays_open",
        "actions_plays",
        ["playbook", "tier", "step"],
        schema="actions",
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("actions_plays_open", "actions_plays", schema="actions")
