"""When tasks were over, and up to which day old history has left."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a008"
down_revision = "a007"

_room = sa.MetaData(schema="actions")
_plays = sa.Table(
    "actions_plays",
    _room,
    sa.Column("id", sa.String(64)),
    sa.Column("partition", sa.Integer),
    sa.Column("ended_at", sa.BigInteger),
)
_tasks = sa.Table(
    "actions_tasks",
    _room,
    sa.Column("play", sa.String(64)),
    sa.Column("status", sa.String(16)),
    sa.Column("completed_at", sa.BigInteger),
    sa.Column("created_at", sa.BigInteger),
    sa.Column("over_at", sa.BigInteger),
    sa.Column("partition", sa.Integer),
)


def upgrade() -> None:
    """Add the columns. A task that was closed was so with its play, as far as anybody knows."""
    for name, type_ in (("over_at", sa.BigInteger), ("partition", sa.Integer)):
        add_column("actions", "actions_tasks", sa.Column(name, type_))
    swept = sa.Column("swept", sa.BigInteger, nullable=False, server_default="0")
    add_column("actions", "actions_partitions", swept)
    conn = op.get_bind()
    of_play = sa.select(_plays.c.ended_at).where(_plays.c.id == _tasks.c.play).scalar_subquery()
    place = sa.select(_plays.c.partition).where(_plays.c.id == _tasks.c.play).scalar_subquery()
    over = sa.func.coalesce(_tasks.c.completed_at, of_play, _tasks.c.created_at)
    conn.execute(sa.update(_tasks).values(partition=place))
    conn.execute(sa.update(_tasks).where(_tasks.c.status.in_(("completed", "closed"))).values(over_at=over))
    op.create_index("actions_tasks_over", "actions_tasks", ["over_at"], schema="actions")
    op.create_index("actions_plays_ended", "actions_plays", ["partition", "ended_at"], schema="actions")


def downgrade() -> None:
    """Drop them."""
    op.drop_index("actions_plays_ended", "actions_plays", schema="actions")
    op.drop_index("actions_tasks_over", "actions_tasks", schema="actions")
    drop_column("actions", "actions_partitions", "swept")
    for name in ("partition", "over_at"):
        drop_column("actions", "actions_tasks", name)
