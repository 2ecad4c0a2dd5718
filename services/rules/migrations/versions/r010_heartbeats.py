"""What each partition knows of the events that rules' `alive` ask for, and records of the outbox for one partition."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "r010"
down_revision = "r006"

SCHEMA = "rules"


def upgrade() -> None:
    """Make the table and the column; nothing was known before."""
    op.create_table(
        "rules_heartbeats",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("clause", sa.String(32), primary_key=True),
        sa.Column("state", sa.LargeBinary, nullable=False),
        schema=SCHEMA,
    )
    add_column(SCHEMA, "rules_outbox", sa.Column("target", sa.Integer))


def downgrade() -> None:
    """Drop them. What is on its way to other partitions is lost; they hear of the next event."""
    outbox = sa.table("rules_outbox", sa.column("target"), schema=SCHEMA)
    op.execute(sa.delete(outbox).where(outbox.c.target.is_not(None)))
    drop_column(SCHEMA, "rules_outbox", "target")
    op.drop_table("rules_heartbeats", schema=SCHEMA)
