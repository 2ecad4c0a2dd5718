"""API keys, and the answers kept for `Idempotency-Key`."""

import sqlalchemy as sa
from alembic import op

revision = "b001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "backbone_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        schema="backbone",
    )
    op.create_table(
        "backbone_idempotency",
        sa.Column("owner", sa.String(32), primary_key=True),
        sa.Column("idempotency_key", sa.String(256), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        schema="backbone",
    )
    op.create_index(
        "ix_backbone_idempotency_created_at", "backbone_idempotency", ["created_at"], schema="backbone"
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("backbone_idempotency", schema="backbone")
    op.drop_table("backbone_keys", schema="backbone")
