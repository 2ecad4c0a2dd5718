"""Plays that are held: since when, the stamp of their release, and which ones count towards a playbook's limit."""

import sqlalchemy as sa

from backbone.migrations import add_column, drop_column

revision = "a011"
down_revision = "a014"


def upgrade() -> None:
    """Add the columns. No play was ever held, and none counts that began before there were limits."""
    for name in ("held_at", "released"):
        add_column("actions", "actions_plays", sa.Column(name, sa.BigInteger))
    for name in ("came", "counts"):
        flag = sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())
        add_column("actions", "actions_plays", flag)


def downgrade() -> None:
    """Drop them."""
    for name in ("counts", "released", "held_at", "came"):
        drop_column("actions", "actions_plays", name)
