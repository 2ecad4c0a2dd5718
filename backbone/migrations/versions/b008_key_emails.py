"""API keys: the address of the person who has one, and what lists them."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "b008"
down_revision = "b005"

SCHEMA = "backbone"


def upgrade() -> None:
    """Add the column; of keys made before, nobody's address is known."""
    add_column("backbone", "backbone_keys", sa.Column("email", sa.String(320)))
    op.create_index("ix_backbone_keys_created_at", "backbone_keys", ["created_at", "id"], schema=SCHEMA)
    op.create_index("ix_backbone_keys_name", "backbone_keys", ["name"], schema=SCHEMA)


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_backbone_keys_name", "backbone_keys", schema=SCHEMA)
    op.drop_index("ix_backbone_keys_created_at", "backbone_keys", schema=SCHEMA)
    drop_column("backbone", "backbone_keys", "email")
