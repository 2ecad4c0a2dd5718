"""Who belongs where: all group calls of a user, ties, traits, calls sent before; merges, and the erased."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "i002"
down_revision = "i001"

ROOM = sa.MetaData(schema="ingest")
OLD = sa.Table(
    "ingest_groups",
    ROOM,
    sa.Column("user", sa.String(256)),
    sa.Column("group", sa.String(256)),
    sa.Column("updated_at", sa.BigInteger),
)
CALLS = sa.Table(
    "ingest_group_calls",
    ROOM,
    sa.Column("user", sa.String(256)),
    sa.Column("unvouched", sa.Boolean),
    sa.Column("time", sa.BigInteger),
    sa.Column("group", sa.String(256)),
)


def upgrade() -> None:
    """Make the tables. The group that a user named last holds for all times, as it did."""
    history("group_calls", "user", sa.Column("group", sa.String(256), nullable=False))
    index("group_calls", "group")
    told = sa.Column("told", sa.Boolean, nullable=False)
    history("ties", "anonymous", sa.Column("user", sa.String(256), nullable=False), told)
    index("ties", "user")
    table(
        "users",
        *user("user"),
        sa.Column("lone", sa.Boolean, nullable=False),
        sa.Column("traits", sa.LargeBinary),
    )
    table(
        "calls",
        sa.Column("name", sa.LargeBinary(16), primary_key=True),
        sa.Column("user", sa.String(256), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("contact", sa.String(256)),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("follows", sa.Integer, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
    index("calls", "account")
    index("calls", "received_at")
    table(
        "merges",
        sa.Column("account", sa.LargeBinary(16), primary_key=True),
        sa.Column("unvouched", sa.Boolean, primary_key=True),
        sa.Column("into", sa.LargeBinary(16), nullable=False),
        sa.Column("lone", sa.Boolean, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
    )
    table(
        "erased",
        sa.Column("account", sa.LargeBinary(16), primary_key=True),
        sa.Column("erased_at", sa.BigInteger, nullable=False),
    )
    kept = sa.select(OLD.c.user, sa.false(), sa.literal(0, sa.BigInteger), OLD.c.group)
    op.execute(sa.insert(CALLS).from_select(["user", "unvouched", "time", "group"], kept))
    op.drop_table("ingest_groups", schema="ingest")


def downgrade() -> None:
    """Only the last group of each user stays known."""
    table(
        "groups",
        sa.Column("user", sa.String(256), primary_key=True),
        sa.Column("group", sa.String(256), nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    index("groups", "group")
    later = CALLS.alias()
    newest = sa.select(sa.func.max(later.c.time)).where(later.c.user == CALLS.c.user, ~later.c.unvouched)
    last = sa.select(CALLS.c.user, CALLS.c.group, CALLS.c.time).where(
        ~CALLS.c.unvouched, CALLS.c.time == newest.scalar_subquery()
    )
    op.execute(sa.insert(OLD).from_select(["user", "group", "updated_at"], last))
    for name in ("group_calls", "ties", "users", "calls", "merges", "erased"):
        op.drop_table(f"ingest_{name}", schema="ingest")


def table(name: str, *columns: sa.Column[Any]) -> None:
    """A table of this room."""
    op.create_table(f"ingest_{name}", *columns, schema="ingest")


def user(name: str) -> tuple[sa.Column[Any], ...]:
    """The columns that name a user, and whether what is kept of it is unvouched."""
    return (
        sa.Column(name, sa.String(256), primary_key=True),
        sa.Column("unvouched", sa.Boolean, primary_key=True),
    )


def history(name: str, who: str, *columns: sa.Column[Any]) -> None:
    """A table of what holds for a user from a time on."""
    table(name, *user(who), sa.Column("time", sa.BigInteger, primary_key=True), *columns)


def index(name: str, column: str) -> None:
    """An index on one column."""
    op.create_index(f"ix_ingest_{name}_{column}", f"ingest_{name}", [column], schema="ingest")
