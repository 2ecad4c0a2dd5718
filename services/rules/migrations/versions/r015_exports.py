"""Triggers in the order in which they were recorded, and what is left of those that were erased."""

from alembic import op
from sqlalchemy import MetaData

from backbone.exports.erased import erased_table
from backbone.migrations.stamping import drop_stamps, make_stamps, stamp_table, unstamp_table

revision = "r015"
down_revision = "r012"

TRIGGERS = "rules_triggers"


def upgrade() -> None:
    """Triggers that are there come first, in their order. They never change."""
    make_stamps("rules")
    stamp_table("rules", TRIGGERS)
    erased_table(MetaData(schema="rules")).create(op.get_bind())


def downgrade() -> None:
    """Drop it all: readers have to begin anew."""
    op.drop_table("rules_export_erased", schema="rules")
    unstamp_table("rules", TRIGGERS, changes=False)
    drop_stamps("rules")
