"""How many plays, actions and tasks there are, by quarter hours (see `backbone.stats`)."""

from backbone.stats.counted import Counted, stats_tables
from services.actions.metadata import metadata

_OF_A_PLAY = {name: name for name in ("rule", "tier", "status", "reason", "playbook")}

COUNTED = (
    Counted("actions", "actions_plays", "plays", ("started_at",), _OF_A_PLAY),
    Counted(
        "actions", "actions_actions", "actions", ("done_at", "due_at"), {**_OF_A_PLAY, "channel": "channel"}
    ),
    Counted("actions", "actions_tasks", "tasks", ("created_at",), {**_OF_A_PLAY, "assignee": "assigned"}),
)
STATS = stats_tables(metadata, *COUNTED)
