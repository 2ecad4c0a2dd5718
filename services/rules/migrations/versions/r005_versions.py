"""The versions of rules in a table of their own, and which rows of the history a save wrote."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "r005"
down_revision = "r004"

AT_ONCE = 500
NO_PART = ("status", "backfill")
Long = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_room = sa.MetaData(schema="rules")
revisions = sa.Table(
    "rules_revisions",
    _room,
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(256)),
    sa.Column("version", sa.Integer),
    sa.Column("status", sa.String(16)),
    sa.Column("doc", sa.JSON),
    sa.Column("changed_by", sa.String(256)),
    sa.Column("changed_at", Long),
)
versions = sa.Table(
    "rules_versions",
    _room,
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("doc", sa.JSON, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("changed_by", sa.String(256), nullable=False),
    sa.Column("changed_at", Long, nullable=False),
)


def upgrade() -> None:
    """Until now every row of the history was a version, those that changed a status alone too: they stay versions."""
    conn = op.get_bind()
    versions.create(conn)
    for rows in _parts(conn):
        conn.execute(sa.insert(versions), rows)
    saved = sa.Column("saved", sa.Boolean, nullable=False, server_default=sa.true())
    add_column("rules", "rules_revisions", saved)
    _not_unique_any_more(conn)
    op.create_index("rules_revisions_name", "rules_revisions", ["name", "revision"], schema="rules")


def downgrade() -> None:
    """Drop them. That a version has one row cannot be promised again."""
    op.drop_index("rules_revisions_name", "rules_revisions", schema="rules")
    drop_column("rules", "rules_revisions", "saved")
    op.drop_table("rules_versions", schema="rules")


def _parts(conn: sa.Connection) -> Iterator[list[dict[str, Any]]]:
    last = 0
    while True:
        query = sa.select(revisions).where(revisions.c.revision > last, revisions.c.name.is_not(None))
        rows = conn.execute(query.order_by(revisions.c.revision).limit(AT_ONCE)).all()
        if not rows:
            return
        last = rows[-1].revision
        yield [_version(row) for row in rows]


def _version(row: sa.Row[Any]) -> dict[str, Any]:
    doc = {name: value for name, value in row.doc.items() if name not in NO_PART}
    return {
        "name": row.name,
        "version": row.version,
        "doc": doc,
        "deleted": row.status == "deleted",
        "changed_by": row.changed_by,
        "changed_at": row.changed_at,
    }


def _not_unique_any_more(conn: sa.Connection) -> None:
    """A version may come into force more than once. SQLite can drop no constraint: the table is made anew."""
    if conn.dialect.name == "postgresql":
        op.drop_constraint("rules_revisions_version", "rules_revisions", schema="rules")
        return
    with op.batch_alter_table("rules_revisions", recreate="always") as table:
        table.drop_constraint("rules_revisions_version", type_="unique")
