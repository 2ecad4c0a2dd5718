"""Counts of plays, actions and tasks by quarter hours. Those that are there are counted."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations.counting import count_table, drop_counts, make_counts, uncount_table
from backbone.stats.counted import Counted, stats_tables

revision = "a071"
down_revision = "a070"

_OF_A_PLAY = {name: name for name in ("rule", "tier", "status", "reason", "playbook")}
COUNTED = (
    Counted("actions", "actions_plays", "plays", ("started_at",), _OF_A_PLAY),
    Counted(
        "actions", "actions_actions", "actions", ("done_at", "due_at"), {**_OF_A_PLAY, "channel": "channel"}
    ),
    Counted("actions", "actions_tasks", "tasks", ("created_at",), {**_OF_A_PLAY, "assignee": "assigned"}),
)
STATS = stats_tables(sa.MetaData(schema="actions"), *COUNTED)
DONE = sa.text("done_at IS NOT NULL")


def upgrade() -> None:
    """Make the tables and the database's triggers, and the index for a part of a quarter hour."""
    make_counts(STATS)
    for one in COUNTED:
        count_table(one, STATS)
    op.create_index(
        "actions_actions_done",
        "actions_actions",
        ["done_at"],
        schema="actions",
        sqlite_where=DONE,
        postgresql_where=DONE,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("actions_actions_done", "actions_actions", schema="actions")
    for one in COUNTED:
        uncount_table(one)
    drop_counts(STATS)
