"""The board of outlines, and which documents they name."""

import sqlalchemy as sa
from alembic import op

revision = "b002"
down_revision = "b001"


def upgrade() -> None:
    """Make the tables; the services fill them when they start."""
    op.create_table(
        "backbone_outlines",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("outline", sa.LargeBinary, nullable=False),
        schema="backbone",
    )
    op.create_table(
        "backbone_references",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("to_kind", sa.String(32), primary_key=True),
        sa.Column("to_name", sa.String(256), primary_key=True),
        schema="backbone",
    )
    op.create_index(
        "ix_backbone_references_to", "backbone_references", ["to_kind", "to_name", "kind"], schema="backbone"
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("backbone_references", schema="backbone")
    op.drop_table("backbone_outlines", schema="backbone")
