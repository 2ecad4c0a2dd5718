"""Digests: the items that plays have put on them, and which actions are their mails."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a035"
down_revision = "a055"

NAME = "actions_digest_items"


def upgrade() -> None:
    """Add the table, and the column to the actions."""
    add_column("actions", "actions_actions", sa.Column("digest_key", sa.String(256)))
    op.create_table(
        NAME,
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("home", sa.Integer, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("play", sa.String(64), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("contact", sa.String(256)),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("gone_at", sa.BigInteger),
        sa.Column("action", sa.String(64)),
        sa.Column("item", sa.JSON, nullable=False),
        sa.Column("scope", sa.JSON, nullable=False),
        schema="actions",
    )
    waits = sa.text("action IS NULL")
    op.create_index(
        f"{NAME}_due",
        NAME,
        ["home", "due"],
        schema="actions",
        sqlite_where=waits,
        postgresql_where=waits,
    )
    op.create_index(f"{NAME}_digest", NAME, ["digest", "since"], schema="actions")
    for column in ("play", "account", "action"):
        op.create_index(f"{NAME}_{column}", NAME, [column], schema="actions")


def downgrade() -> None:
    """Remove them; what waits for a digest is lost."""
    op.drop_table(NAME, schema="actions")
    drop_column("actions", "actions_actions", "digest_key")
