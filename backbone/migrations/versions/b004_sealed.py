"""Idempotency keys as hashes. Answers from before stay as they are: for a day at most."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "b004"
down_revision = "b003"

AT_ONCE = 500
LENGTH = 65  # of a name


def upgrade() -> None:
    """Name every row by the hash of its key."""
    connection = op.get_bind()
    schema = "backbone" if connection.dialect.name == "postgresql" else None
    table = sa.table("backbone_idempotency", sa.column("owner"), sa.column("idempotency_key"), schema=schema)
    key = table.c.idempotency_key
    named = sa.and_(key.like("#%"), sa.func.length(key) == LENGTH)
    while rows := connection.execute(
        sa.select(table.c.owner, key).where(sa.not_(named)).limit(AT_ONCE)
    ).all():
        for owner, name in rows:
            mine = sa.update(table).where(table.c.owner == owner, key == name)
            connection.execute(mine.values(idempotency_key=_name(owner, name)))


def downgrade() -> None:
    """The keys themselves are gone."""


def _name(owner: str, key: str) -> str:
    text = f"{owner}\n{key}".encode("utf-8", "surrogatepass")
    return "#" + hashlib.blake2b(text, digest_size=32).hexdigest()
