"""When sending was off."""

import sqlalchemy as sa
from alembic import op

revision = "a015"
down_revision = "a016"

SCHEMA = "actions"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table: sending is on."""
    op.create_table(
        "actions_sending",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("off_at", Long, nullable=False),
        sa.Column("off_by", sa.String(256), nullable=False),
        sa.Column("off_reason", sa.Text),
        sa.Column("on_at", Long),
        sa.Column("on_by", sa.String(256)),
        sa.Column("on_reason", sa.Text),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop the table: actions that waited for sending go out."""
    op.drop_table("actions_sending", schema=SCHEMA)
