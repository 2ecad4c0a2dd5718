"""Where in the log the trigger of a play was decided: events about plays of the erased are told apart by it."""

import sqlalchemy as sa

from backbone.migrations import add_column, drop_column

revision = "a006"
down_revision = "a005"


def upgrade() -> None:
    """Add the column; of plays from before nothing is said."""
    add_column("actions", "actions_plays", sa.Column("place", sa.BigInteger))


def downgrade() -> None:
    """Drop it."""
    drop_column("actions", "actions_plays", "place")
