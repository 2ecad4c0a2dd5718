"""The listings of accounts, for lists that search and filter."""

import sqlalchemy as sa
from alembic import op

revision = "r018"
down_revision = "r017"

SCHEMA = "rules"
UNKNOWN = -1  # nothing is known of the row yet: services fill it in, and lists look at the account meanwhile


def upgrade() -> None:
    """Make the table, with a row for every account."""
    long = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    made = op.create_table(
        "rules_listings",
        sa.Column("account", sa.String(256), primary_key=True),
        sa.Column("seen_at", long, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("owner", sa.String(320)),
        sa.Column("tier", sa.String(16)),
        sa.Column("tiers", sa.Integer, nullable=False),
        schema=SCHEMA,
    )
    for name, columns in (
        ("seen", ["seen_at", "account"]),
        ("owner", ["owner", "seen_at", "account"]),
        ("tier", ["tier", "seen_at", "account"]),
        ("tiers", ["tiers"]),
    ):
        op.create_index(f"rules_listings_{name}", "rules_listings", columns, schema=SCHEMA)
    connection = op.get_bind()
    schema = SCHEMA if connection.dialect.name == "postgresql" else None
    accounts = sa.table("rules_accounts", sa.column("account"), sa.column("seen_at"), schema=schema)
    here = sa.table("rules_listings", *(sa.column(one.name) for one in made.columns), schema=schema)
    rows = sa.select(accounts.c.account, accounts.c.seen_at, sa.literal(""), sa.literal(UNKNOWN))
    connection.execute(sa.insert(here).from_select(["account", "seen_at", "text", "tiers"], rows))


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("rules_listings", schema=SCHEMA)
