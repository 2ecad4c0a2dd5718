"""What triggers are found by: tier, and a digest of the key (keys are too long for an index)."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "r002"
down_revision = "r001"

AT_ONCE = 1_000
triggers = sa.Table(
    "rules_triggers",
    sa.MetaData(schema="rules"),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("doc", sa.LargeBinary),
    sa.Column("tier", sa.String(16)),
    sa.Column("key_digest", sa.LargeBinary(16)),
)


def upgrade() -> None:
    """Add the columns, fill them from the triggers as they are stored, then make the indexes."""
    add_column("rules", "rules_triggers", sa.Column("tier", sa.String(16)))
    add_column("rules", "rules_triggers", sa.Column("key_digest", sa.LargeBinary(16)))
    conn = op.get_bind()
    for rows in _stored(conn):
        conn.execute(
            sa.update(triggers)
            .where(triggers.c.seq == sa.bindparam("place"))
            .values(tier=sa.bindparam("has_tier"), key_digest=sa.bindparam("has_key")),
            [_columns(row) for row in rows],
        )
    for name in ("tier", "key_digest"):
        op.create_index(f"rules_triggers_{name}", "rules_triggers", [name, "seq"], schema="rules")


def downgrade() -> None:
    """Drop them."""
    for name in ("tier", "key_digest"):
        op.drop_index(f"rules_triggers_{name}", "rules_triggers", schema="rules")
        drop_column("rules", "rules_triggers", name)


def _stored(conn: sa.Connection) -> Iterator[list[Any]]:
    last = -1
    while True:
        query = sa.select(triggers.c.seq, triggers.c.doc).where(triggers.c.seq > last)
        rows = list(conn.execute(query.order_by(triggers.c.seq).limit(AT_ONCE)))
        if not rows:
            return
        yield rows
        last = rows[-1].seq


def _columns(row: Any) -> dict[str, Any]:
    doc = msgspec.json.decode(row.doc)
    key = doc.get("key")
    digest = None if key is None else blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return {"place": row.seq, "has_tier": doc.get("tier"), "has_key": digest}
