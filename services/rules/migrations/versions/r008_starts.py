"""Requests to start rules by hand, and what each partition has decided of them."""

import sqlalchemy as sa
from alembic import op

revision = "r008"
down_revision = "r005"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "rules_starts",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("rule", sa.String(256), nullable=False),
        sa.Column("matching", sa.Boolean, nullable=False),
        sa.Column("left_out", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Index("rules_starts_created", "created_at"),
        schema="rules",
    )
    op.create_table(
        "rules_start_parts",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("subjects", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        schema="rules",
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("rules_start_parts", schema="rules")
    op.drop_table("rules_starts", schema="rules")
