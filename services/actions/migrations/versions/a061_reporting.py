"""Views of plays, actions and tasks for programs that read SQL: PostgreSQL only."""

from backbone.migrations.reporting import drop_view, make_schema, make_view, moment

revision = "a061"
down_revision = "a060"

STANDS = (1 << 62) - 1  # of a mail that waits for something else than a time


def _moments(*names: str) -> str:
    return ", ".join(f"{moment(name)} AS {name}" for name in names)


PLAYS = f"""
SELECT id, playbook, playbook_version, rule, trigger_id AS trigger, account, contact, key, tier, status, reason, step,
  {_moments("started_at", "held_at", "ended_at")},
  CASE WHEN status = 'held' AND released IS NOT NULL THEN NULL ELSE {moment("due_at")} END AS waits_until,
  {_moments("goal_until", "goal_reached_at")}
FROM actions.actions_plays
"""  # noqa: S608 - our own names
ACTIONS = f"""
SELECT id, play, playbook, rule, tier, account, contact, channel, step, recipient, topic, digest_key AS digest, status,
  reason, attempts, {_moments("due_at", "begun_at")},
  CASE WHEN waits AND next_look_at < {STANDS} THEN {moment("next_look_at")} END AS next_look_at,
  {_moments("done_at")},
  CASE WHEN status = 'retrying' THEN {moment("next_attempt_at")} END AS next_attempt_at,
  approver, {_moments("approve_until")}
FROM actions.actions_actions
"""  # noqa: S608 - our own names
TASKS = f"""
SELECT id, nullif(play, '') AS play, nullif(playbook, '') AS playbook, nullif(step, '') AS step, rule, tier,
  nullif(account, '') AS account, contact, title, body, assignee, priority, key, status, reason,
  CASE WHEN approves THEN id END AS approves, {_moments("due_at")},
  CASE WHEN status = 'snoozed' THEN {moment("snoozed_until")} END AS snoozed_until,
  {_moments("created_at", "completed_at")}, completed_by, note, outcome
FROM actions.actions_tasks
"""  # noqa: S608 - our own names


def upgrade() -> None:
    """Make the views."""
    make_schema()
    make_view("plays", PLAYS, "Every play that is kept. The columns are the fields of GET /v1/plays.")
    make_view("actions", ACTIONS, "Every action that is kept. The columns are the fields of GET /v1/actions.")
    make_view("tasks", TASKS, "Every task that is kept. The columns are the fields of GET /v1/tasks.")


def downgrade() -> None:
    """Drop them."""
    for name in ("plays", "actions", "tasks"):
        drop_view(name)
