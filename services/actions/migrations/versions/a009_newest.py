"""The newest version of a document, which may not be in force yet."""

import sqlalchemy as sa
from alembic import op

from backbone.migrations import add_column, drop_column

revision = "a009"
down_revision = "a011"


def upgrade() -> None:
    """Add the column: until now the newest version was the one in force."""
    add_column(
        "actions", "actions_documents", sa.Column("newest", sa.Integer, nullable=False, server_default="0")
    )
    columns = (sa.Column("version", sa.Integer), sa.Column("newest", sa.Integer))
    documents = sa.Table("actions_documents", sa.MetaData(schema="actions"), *columns)
    op.get_bind().execute(sa.update(documents).values(newest=documents.c.version))


def downgrade() -> None:
    """Drop it."""
    drop_column("actions", "actions_documents", "newest")
