"""Erasures that kept backtests have yet to follow."""

import sqlalchemy as sa
from alembic import op

revision = "r006"
down_revision = "r008"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "rules_backtest_erasures",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("contact", sa.String(256)),
        sa.Column("at", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        schema="rules",
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("rules_backtest_erasures", schema="rules")
