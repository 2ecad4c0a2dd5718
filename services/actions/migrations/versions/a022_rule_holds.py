"""Rules that hold their plays: a row for each partition, with the revision of rules that it is from."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "a022"
down_revision = "a012"

NAME = "actions_holds"
OF_ALL = ("paused", "reason", "paused_by", "paused_at", "generation", "stamp", "counted_after")


def upgrade() -> None:
    """Make the table anew, with the rows of the playbooks. No rule held its plays before."""
    _again(["kind", "name"], ["kind", "name", "partition"], ["revision"], {"partition": -1, "revision": 0})


def downgrade() -> None:
    """Make it anew as it was. The plays of rules that hold them are held no longer."""
    _again(
        ["kind", "name", "partition", "revision"], ["kind", "name"], [], {}, sa.column("kind") == "playbook"
    )


def _again(
    before: list[str],
    key: list[str],
    more: list[str],
    fresh: dict[str, int],
    which: sa.ColumnElement[bool] = sa.true(),
) -> None:
    old = sa.Table(NAME, sa.MetaData(schema="actions"), *map(sa.Column, (*before, *OF_ALL)))
    rows = op.get_bind().execute(sa.select(old).where(which)).mappings().all()
    op.drop_table(NAME, schema="actions")
    kinds: dict[str, Any] = {"kind": sa.String(16), "name": sa.String(256), "partition": sa.Integer}
    made = op.create_table(
        NAME,
        *(sa.Column(name, kinds[name], primary_key=True, autoincrement=False) for name in key),
        sa.Column("paused", sa.String(64)),
        sa.Column("reason", sa.Text),
        sa.Column("paused_by", sa.String(256)),
        sa.Column("paused_at", sa.BigInteger),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("generation", "stamp", "counted_after")
        ),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in more),
        schema="actions",
    )
    kept = {*key, *OF_ALL, *more}
    op.bulk_insert(
        made, [{name: one for name, one in {**fresh, **row}.items() if name in kept} for row in rows]
    )
