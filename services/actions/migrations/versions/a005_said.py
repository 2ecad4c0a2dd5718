"""What events that were seen said: two of one name may be two events, where accounts were merged."""

import sqlalchemy as sa

from backbone.migrations import add_column, drop_column

revision = "a005"
down_revision = "a004"

SCHEMA = "actions"


def upgrade() -> None:
    """Of those seen before it is not known: there the time decides."""
    add_column(SCHEMA, "actions_seen", sa.Column("said", sa.BigInteger().with_variant(sa.Integer, "sqlite")))


def downgrade() -> None:
    """Drop it."""
    drop_column(SCHEMA, "actions_seen", "said")
