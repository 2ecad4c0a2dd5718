"""What actions tells of the plays that a rule's pause concerned."""

import sqlalchemy as sa
from alembic import op

revision = "r009"
down_revision = "r010"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "rules_concerned",
        sa.Column("pause", sa.String(256), primary_key=True),
        sa.Column("part", sa.String(256), primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("plays", sa.Integer, nullable=False),
        sa.Column("mails", sa.Integer, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Index("rules_concerned_at", "at"),
        schema="rules",
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("rules_concerned", schema="rules")
