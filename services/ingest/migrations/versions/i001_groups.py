"""The group that each Segment user named last."""

import sqlalchemy as sa
from alembic import op

revision = "i001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "ingest_groups",
        sa.Column("user", sa.String(256), primary_key=True),
        sa.Column("group", sa.String(256), nullable=False, index=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        schema="ingest",
    )
    op.create_index("ix_ingest_groups_group", "ingest_groups", ["group"], schema="ingest")


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("ingest_groups", schema="ingest")
