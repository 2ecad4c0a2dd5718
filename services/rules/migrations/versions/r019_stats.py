"""Counts of triggers by quarter hours. Those that are there are counted."""

from sqlalchemy import MetaData

from backbone.migrations.counting import count_table, drop_counts, make_counts, uncount_table
from backbone.stats.counted import Counted, stats_tables

revision = "r019"
down_revision = "r018"

TRIGGERS = Counted("rules", "rules_triggers", "triggers", ("at",), {"rule": "rule", "tier": "tier"})
STATS = stats_tables(MetaData(schema="rules"), TRIGGERS)


def upgrade() -> None:
    """Make the tables and the database's triggers."""
    make_counts(STATS)
    count_table(TRIGGERS, STATS)


def downgrade() -> None:
    """Drop them."""
    uncount_table(TRIGGERS)
    drop_counts(STATS)
