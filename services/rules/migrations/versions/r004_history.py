"""Triggers of which no play comes, which leave by themselves; and up to which day that has been done."""

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "r004"
down_revision = "r003"

AT_ONCE = 1_000
triggers = sa.Table(
    "rules_triggers",
    sa.MetaData(schema="rules"),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("doc", sa.LargeBinary),
    sa.Column("alone", sa.Boolean),
)


def upgrade() -> None:
    """Add the columns, and tell the triggers apart as they are stored."""
    alone = sa.Column("alone", sa.Boolean, nullable=False, server_default=sa.false())
    add_column("rules", "rules_triggers", alone)
    swept = sa.Column("swept", sa.BigInteger, nullable=False, server_default="0")
    add_column("rules", "rules_partitions", swept)
    conn = op.get_bind()
    for part in _alone(conn):
        conn.execute(sa.update(triggers).where(triggers.c.seq.in_(part)).values(alone=True))
    op.create_index("rules_triggers_alone", "rules_triggers", ["partition", "alone", "at"], schema="rules")


def downgrade() -> None:
    """Drop them."""
    op.drop_index("rules_triggers_alone", "rules_triggers", schema="rules")
    drop_column("rules", "rules_triggers", "alone")
    drop_column("rules", "rules_partitions", "swept")


def _alone(conn: sa.Connection) -> Iterator[list[int]]:
    last = -1
    while True:
        query = sa.select(triggers.c.seq, triggers.c.doc).where(triggers.c.seq > last)
        rows = list(conn.execute(query.order_by(triggers.c.seq).limit(AT_ONCE)))
        if not rows:
            return
        last = rows[-1].seq
        if found := [row.seq for row in rows if _starts_none(msgspec.json.decode(row.doc))]:
            yield found


def _starts_none(doc: dict[str, Any]) -> bool:
    return doc.get("playbook") is None or bool(doc.get("shadow"))
