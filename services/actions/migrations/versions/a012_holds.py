"""Playbooks and rules that hold their plays; actions that wait with them; the plays that count towards a limit."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a012"
down_revision = "a015"


def upgrade() -> None:
    """Make the table, the column and the indexes. Nothing is paused yet."""
    op.create_table(
        "actions_holds",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("paused", sa.String(64)),
        sa.Column("reason", sa.Text),
        sa.Column("paused_by", sa.String(256)),
        sa.Column("paused_at", sa.BigInteger),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("stamp", sa.BigInteger, nullable=False),
        sa.Column("counted_after", sa.BigInteger, nullable=False),
        schema="actions",
    )
    parked = sa.Column("parked", sa.Boolean, nullable=False, server_default=sa.false())
    add_column("actions", "actions_actions", parked)
    for name, table, columns, which in (
        ("actions_actions_parked", "actions_actions", ["playbook"], "parked"),
        ("actions_plays_begun", "actions_plays", ["playbook", "started_at"], "counts"),
    ):
        only = sa.text(which)
        op.create_index(name, table, columns, schema="actions", sqlite_where=only, postgresql_where=only)


def downgrade() -> None:
    """Drop them."""
    op.drop_index("actions_plays_begun", "actions_plays", schema="actions")
    op.drop_index("actions_actions_parked", "actions_actions", schema="actions")
    drop_column("actions", "actions_actions", "parked")
    op.drop_table("actions_holds", schema="actions")
