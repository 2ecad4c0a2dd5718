"""Messages about notices, to the people who run Touchline."""

import sqlalchemy as sa
from alembic import op

revision = "a014"
down_revision = "a008"

SCHEMA = "actions"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "actions_notice_messages",
        sa.Column("notice", sa.String(40), primary_key=True),
        sa.Column("phase", sa.String(8), primary_key=True),
        sa.Column("way", sa.String(16), primary_key=True),
        sa.Column("made_at", Long, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_at", Long, nullable=False),
        sa.Column("lease_until", Long),
        sa.Column("done_at", Long),
        sa.Column("detail", sa.Text),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("actions_notice_messages", schema=SCHEMA)
