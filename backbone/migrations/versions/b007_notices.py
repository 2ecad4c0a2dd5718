"""Notices: what the people who run Touchline are told of."""

import sqlalchemy as sa
from alembic import op

revision = "b007"
down_revision = "b006"

SCHEMA = "backbone"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "backbone_notices",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("object", sa.String(256), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("mark", sa.String(64), nullable=False, server_default=""),
        sa.Column("raised_at", sa.BigInteger, nullable=False),
        sa.Column("over_at", sa.BigInteger),
        sa.Column("open_as", sa.String(300), unique=True),
        schema=SCHEMA,
    )
    op.create_index("backbone_notices_over", "backbone_notices", ["over_at"], unique=False, schema=SCHEMA)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("backbone_notices", schema=SCHEMA)
