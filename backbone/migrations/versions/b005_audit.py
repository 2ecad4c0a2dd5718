"""The audit: who changed what."""

import sqlalchemy as sa
from alembic import op

revision = "b005"
down_revision = "b007"

Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows by itself only as INTEGER


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "backbone_audit",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("method", sa.String(32), nullable=False),
        sa.Column("route", sa.String(256), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        schema="backbone",
    )
    indexes = {"at": ["at"], "actor": ["actor"], "kind": ["kind"], "object": ["kind", "name"]}
    for name, columns in indexes.items():
        op.create_index(f"ix_backbone_audit_{name}", "backbone_audit", [*columns, "seq"], schema="backbone")


def downgrade() -> None:
    """Drop it."""
    op.drop_table("backbone_audit", schema="backbone")
