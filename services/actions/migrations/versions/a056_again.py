"""Actions that somebody asked to be sent again."""

import sqlalchemy as sa

from backbone.migrations import add_column, drop_column

revision = "a056"
down_revision = "a035"


def upgrade() -> None:
    """Make the column: nothing was asked for again."""
    add_column("actions", "actions_actions", sa.Column("tries_before", sa.Integer))


def downgrade() -> None:
    """Drop it: what was asked for again has only what is left of its old schedule."""
    drop_column("actions", "actions_actions", "tries_before")
