"""Whether a rule holds its plays while it is paused."""

import sqlalchemy as sa

from backbone.migrations import add_column, drop_column

revision = "r012"
down_revision = "r009"

HOLDS = sa.Column("holds", sa.Boolean, nullable=False, server_default=sa.false())


def upgrade() -> None:
    """Add the column; no rule held its plays before."""
    add_column("rules", "rules_revisions", HOLDS)


def downgrade() -> None:
    """Drop it."""
    drop_column("rules", "rules_revisions", "holds")
