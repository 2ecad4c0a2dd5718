"""Plays, actions and tasks in the order of their last change, and what is left of those that were erased."""

from alembic import op
from sqlalchemy import MetaData

from backbone.exports.erased import erased_table
from backbone.migrations.stamping import drop_stamps, make_stamps, stamp_table, unstamp_table

revision = "a060"
down_revision = "a040"


def _columns(names: str) -> list[str]:
    return [f"{{row}}.{name}" for name in names.split()]


# What readers see of them: a lease of an action, say, is no change.
WATCHED = {
    "actions_plays": _columns(
        "playbook playbook_version rule trigger_id account contact key tier status reason step started_at held_at "
        "ended_at due_at released goal_until goal_reached_at"
    ),
    "actions_actions": [
        *_columns(
            "play playbook rule tier account contact channel step recipient topic digest_key status reason attempts "
            "due_at begun_at done_at approver approve_until"
        ),
        "CASE WHEN {row}.waits THEN {row}.next_look_at END",
        "CASE WHEN {row}.status = 'retrying' THEN {row}.next_attempt_at END",
    ],
    "actions_tasks": _columns(
        "play playbook step rule tier account contact title body assignee priority key status reason approves due_at "
        "snoozed_until created_at completed_at completed_by note outcome"
    ),
}


def upgrade() -> None:
    """Rows that are there come first, in their order."""
    make_stamps("actions")
    for table, watched in WATCHED.items():
        stamp_table("actions", table, watched)
    erased_table(MetaData(schema="actions")).create(op.get_bind())


def downgrade() -> None:
    """Drop it all: readers have to begin anew."""
    op.drop_table("actions_export_erased", schema="actions")
    for table in WATCHED:
        unstamp_table("actions", table, changes=True)
    drop_stamps("actions")
