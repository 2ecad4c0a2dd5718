"""What providers and mail servers said about our mails, and the tokens that they signed."""

import sqlalchemy as sa
from alembic import op

revision = "a045"
down_revision = "a030"

SCHEMA = "actions"
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables: nobody has told us anything yet."""
    op.create_table(
        "actions_mail_reports",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("at", Long, nullable=False),
        sa.Column("happened_at", Long, nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.UniqueConstraint("action", "kind", name="actions_mail_reports_action"),
        schema=SCHEMA,
    )
    op.create_index(
        "actions_mail_reports_address", "actions_mail_reports", ["address", "kind", "at"], schema=SCHEMA
    )
    op.create_table(
        "actions_mail_tokens",
        sa.Column("token", sa.LargeBinary(32), primary_key=True),
        sa.Column("body", sa.LargeBinary(32), nullable=False),
        sa.Column("at", Long, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("actions_mail_tokens_at", "actions_mail_tokens", ["at"], schema=SCHEMA)


def downgrade() -> None:
    """Drop the tables; suppressions and reasons stay."""
    op.drop_table("actions_mail_tokens", schema=SCHEMA)
    op.drop_table("actions_mail_reports", schema=SCHEMA)
