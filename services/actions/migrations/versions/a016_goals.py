"""When a play began, until when its goal is watched, and when it was reached."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a016"
down_revision = "a009"

PLAYS = "actions_plays"
_plays = sa.Table(
    PLAYS,
    sa.MetaData(schema="actions"),
    sa.Column("status", sa.String(16)),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("began_at", sa.BigInteger),
)
NEW = ("began_at", "goal_until", "goal_reached_at")
INDEXES = {
    "actions_plays_goal": ["account", "goal_until"],
    "actions_plays_goals": ["goal_until"],
    "actions_plays_began": ["playbook", "account", "began_at"],
}


def upgrade() -> None:
    """Add the columns. Every play of before that was not skipped began when it started; none has a goal."""
    for name in NEW:
        add_column("actions", PLAYS, sa.Column(name, sa.BigInteger))
    op.get_bind().execute(
        sa.update(_plays).where(_plays.c.status != "skipped").values(began_at=_plays.c.started_at)
    )
    for name, columns in INDEXES.items():
        op.create_index(name, PLAYS, columns, unique=False, schema="actions")


def downgrade() -> None:
    """Drop them."""
    for name in INDEXES:
        op.drop_index(name, PLAYS, schema="actions")
    for name in reversed(NEW):
        drop_column("actions", PLAYS, name)
