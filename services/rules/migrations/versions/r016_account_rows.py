"""Accounts as analysts read them, and which of them have changed since."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column
from backbone.migrations.stamping import stamp_table, unstamp_table

revision = "r016"
down_revision = "r015"

ACCOUNTS, ROWS = "rules_accounts", "rules_account_rows"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")
UNSHOWN = sa.text("NOT shown")


def upgrade() -> None:
    """Make the table; the service fills it when it runs, as only it can read the states of accounts."""
    for name in ("earliest", "newest", "profile_hash"):
        add_column("rules", ACCOUNTS, sa.Column(name, Long))
    shown = sa.Column("shown", sa.Boolean, nullable=False, server_default=sa.false())
    add_column("rules", ACCOUNTS, shown)
    op.create_index(
        "rules_accounts_unshown",
        ACCOUNTS,
        ["account"],
        schema="rules",
        sqlite_where=UNSHOWN,
        postgresql_where=UNSHOWN,
    )
    op.create_table(
        ROWS,
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
        sa.Column("first_event_at", Long, nullable=False),
        sa.Column("last_event_at", Long, nullable=False),
        sa.UniqueConstraint("account", name="rules_account_rows_account"),
        schema="rules",
    )
    stamp_table("rules", ROWS, [f"{{row}}.{name}" for name in ("doc", "first_event_at", "last_event_at")])


def downgrade() -> None:
    """Drop it."""
    unstamp_table("rules", ROWS, changes=True)
    op.drop_table(ROWS, schema="rules")
    op.drop_index("rules_accounts_unshown", ACCOUNTS, schema="rules")
    for name in ("shown", "profile_hash", "newest", "earliest"):
        drop_column("rules", ACCOUNTS, name)
