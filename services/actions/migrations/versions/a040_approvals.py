"""Mails that wait for an approval, the tasks that ask for it, and what was decided in a play's history."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a040"
down_revision = "a046"

ACTIONS, TASKS, HISTORY, SENDING = "actions_actions", "actions_tasks", "actions_history", "actions_sending"
INDEX = "actions_actions_approvals"


def upgrade() -> None:
    """Add the columns and the index. No mail waits yet."""
    add_column("actions", ACTIONS, sa.Column("approver", sa.Text))
    add_column("actions", ACTIONS, sa.Column("approve_until", sa.BigInteger))
    asks = sa.Column("approves", sa.Boolean, nullable=False, server_default=sa.false())
    add_column("actions", TASKS, asks)
    add_column("actions", HISTORY, sa.Column("action", sa.String(64)))
    add_column("actions", SENDING, sa.Column("clocks", sa.JSON))
    which = sa.text("approve_until IS NOT NULL")
    columns = ["partition", "approve_until"]
    op.create_index(INDEX, ACTIONS, columns, schema="actions", sqlite_where=which, postgresql_where=which)


def downgrade() -> None:
    """Drop them."""
    op.drop_index(INDEX, ACTIONS, schema="actions")
    drop_column("actions", SENDING, "clocks")
    drop_column("actions", HISTORY, "action")
    drop_column("actions", TASKS, "approves")
    for name in ("approve_until", "approver"):
        drop_column("actions", ACTIONS, name)
