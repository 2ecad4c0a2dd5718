"""What is known of the installation as a whole."""

import sqlalchemy as sa
from alembic import op

revision = "b003"
down_revision = "b002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "backbone_facts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
        schema="backbone",
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("backbone_facts", schema="backbone")
