"""Documents of the door: its aliases."""

import sqlalchemy as sa
from alembic import op

revision = "i003"
down_revision = "i002"

Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows by itself only as INTEGER


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ingest_documents",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.UniqueConstraint("kind", "name"),
        schema="ingest",
    )
    op.create_table(
        "ingest_versions",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("doc", sa.JSON, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("changed_by", sa.String(256), nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        schema="ingest",
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("versions", "documents"):
        op.drop_table(f"ingest_{name}", schema="ingest")
