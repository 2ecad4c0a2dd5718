"""When mails began, and what those that wait need to know: the beginnings that caps count, and columns of actions."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a030"
down_revision = "a022"

SCHEMA = "actions"
ACTIONS, BEGINS = "actions_actions", "actions_begins"
MOMENTS = ("begun_at", "ready_at", "next_look_at", "late_at")


def upgrade() -> None:
    """Add the columns and the table. A mail that was tried began with its first attempt."""
    for name in MOMENTS:
        add_column(SCHEMA, ACTIONS, sa.Column(name, sa.BigInteger))
    add_column(SCHEMA, ACTIONS, sa.Column("priority", sa.Integer))
    add_column(SCHEMA, ACTIONS, sa.Column("waited", sa.BigInteger))
    add_column(SCHEMA, ACTIONS, sa.Column("waits", sa.Boolean, nullable=False, server_default=sa.false()))
    add_column(
        SCHEMA,
        "actions_plays",
        sa.Column("waited", sa.BigInteger, nullable=False, server_default="0"),
    )
    for name, columns in (
        ("actions_actions_waiting", ["account"]),
        ("actions_actions_waiting_for", ["addressee"]),
        ("actions_actions_look", ["partition", "next_look_at"]),
    ):
        op.create_index(
            name,
            ACTIONS,
            columns,
            schema=SCHEMA,
            sqlite_where=sa.text("waits"),
            postgresql_where=sa.text("waits"),
        )
    op.create_table(
        BEGINS,
        sa.Column("action", sa.String(64), primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("topic", sa.String(256), nullable=False),
        sa.Column("tier", sa.String(16), nullable=False),
        schema=SCHEMA,
    )
    op.create_index("actions_begins_address", BEGINS, ["address", "at"], schema=SCHEMA)
    op.create_index("actions_begins_account", BEGINS, ["account", "at"], schema=SCHEMA)
    op.create_index("actions_begins_at", BEGINS, ["at"], schema=SCHEMA)
    _fill()


def _fill() -> None:
    """Mails begin with their first attempt; what could not be rendered has an attempt that never began."""
    actions = sa.Table(
        ACTIONS,
        sa.MetaData(schema=SCHEMA),
        *(sa.Column(name) for name in ("id", "channel", "attempts", "begun_at")),
    )
    attempts = sa.Table(
        "actions_attempts",
        sa.MetaData(schema=SCHEMA),
        *(sa.Column(name) for name in ("action", "n", "started_at", "reason")),
    )
    first = (
        sa.select(attempts.c.started_at)
        .where(attempts.c.action == actions.c.id, attempts.c.n == 1)
        .where(sa.or_(attempts.c.reason.is_(None), attempts.c.reason.not_like("template%")))
        .scalar_subquery()
    )
    op.execute(
        sa.update(actions).where(actions.c.channel == "email", actions.c.attempts > 0).values(begun_at=first)
    )


def downgrade() -> None:
    """Drop them. Mails that waited go out."""
    op.drop_table(BEGINS, schema=SCHEMA)
    for name in ("look", "waiting_for", "waiting"):
        op.drop_index(f"actions_actions_{name}", ACTIONS, schema=SCHEMA)
    drop_column(SCHEMA, "actions_plays", "waited")
    for name in ("waits", "waited", "priority", *reversed(MOMENTS)):
        drop_column(SCHEMA, ACTIONS, name)
