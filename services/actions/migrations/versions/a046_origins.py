"""Who suppressed an address, and the topics to which somebody came back.

Until now a page wrote the reason `unsubscribed`, and a server that refused an address `bounced`. All else was done by
hand, and no page lifts it.
"""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a046"
down_revision = "a056"

SCHEMA = "actions"
NAME = "actions_suppressions"
BY_REASON = {"unsubscribed": "page", "bounced": "bounce", "complained": "complaint"}
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the column, and make the table."""
    origin = sa.Column("origin", sa.String(16), nullable=False, server_default="hand")
    add_column(SCHEMA, NAME, origin)
    table = sa.Table(NAME, sa.MetaData(schema=SCHEMA), sa.Column("origin"), sa.Column("reason"))
    for reason, by in BY_REASON.items():
        op.get_bind().execute(sa.update(table).where(table.c.reason == reason).values(origin=by))
    op.create_table(
        "actions_topic_returns",
        sa.Column("address", sa.String(64), primary_key=True),
        sa.Column("topic", sa.String(256), primary_key=True),
        sa.Column("at", Long, nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop both: who stopped everything gets nothing again."""
    op.drop_table("actions_topic_returns", schema=SCHEMA)
    drop_column(SCHEMA, NAME, "origin")
