"""The directory: by what accounts are found, how far it has read, and the events whose account nobody knows."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "i005"
down_revision = "i004"

KEY = sa.LargeBinary(16)


def upgrade() -> None:
    """Make the tables. The directory begins to read where the log begins."""
    table(
        "partitions",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
    table(
        "directory",
        sa.Column("account", sa.String(256), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("key", KEY, primary_key=True),
        sa.Column("text", sa.String(256)),
    )
    index("directory", "key")
    table("known_accounts", sa.Column("account", KEY, primary_key=True))
    table(
        "closed",
        sa.Column("account", KEY, primary_key=True),
        sa.Column("into", KEY, primary_key=True),
        sa.Column("taken_in", sa.Boolean, primary_key=True),
        sa.Column("lone", sa.Boolean, nullable=False),
    )
    index("closed", "into")
    table(
        "followed",
        sa.Column("name", KEY, primary_key=True),
        sa.Column("account", KEY, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    index("followed", "account")
    index("followed", "at")
    table(
        "placed",
        sa.Column("name", KEY, primary_key=True),
        sa.Column("account", sa.String(256), primary_key=True),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
    index("placed", "account")
    index("placed", "received_at")
    unmatched()


def unmatched() -> None:
    """Make the tables of events whose account nobody knows."""
    table(
        "unmatched",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("name", KEY, nullable=False, unique=True),
        sa.Column("source", sa.String(256), nullable=False),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.Column("whose", sa.LargeBinary, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("due", sa.Boolean, nullable=False),
        sa.Column("going", sa.Text),
    )
    index("unmatched", "due", "partition")
    index("unmatched", "source", "seq")
    index("unmatched", "received_at")
    table(
        "unmatched_keys",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("event", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    index("unmatched_keys", "event")


def downgrade() -> None:
    """Drop them."""
    for name in (
        "unmatched_keys",
        "unmatched",
        "placed",
        "followed",
        "closed",
        "known_accounts",
        "directory",
        "partitions",
    ):
        op.drop_table(f"ingest_{name}", schema="ingest")


def table(name: str, *columns: sa.Column[Any]) -> None:
    """A table of this room."""
    op.create_table(f"ingest_{name}", *columns, schema="ingest")


def index(name: str, *columns: str) -> None:
    """An index, named after its first column."""
    op.create_index(f"ix_ingest_{name}_{columns[0]}", f"ingest_{name}", list(columns), schema="ingest")
