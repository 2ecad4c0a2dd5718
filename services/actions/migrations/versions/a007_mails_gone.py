"""Mails that were erased, whose files are to be removed."""

import sqlalchemy as sa
from alembic import op

revision = "a007"
down_revision = "a006"

SCHEMA = "actions"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "actions_mails_gone",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("due_at", Long, nullable=False),
        sa.Column("at", Long, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("actions_mails_gone_at", "actions_mails_gone", ["at"], unique=False, schema=SCHEMA)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("actions_mails_gone", schema=SCHEMA)
