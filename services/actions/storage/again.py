"""Actions that somebody asks to be sent again: the same id and content, and the schedule anew. SQL only.

What ended because its play exited, or because nobody approved it, is never sent again, and neither is anything of a
play that has exited since.
"""

from sqlalchemy import Connection

from schemas.play_reasons import ActionReason
from services.actions.storage import search_columns
from services.actions.storage.sql import Sql, listed
from services.actions.storage.status import ask_again

ENDED = ("failed", "uncertain", "skipped")  # the states in which an action may be asked for again
NEVER = frozenset({ActionReason.PLAY_EXITED.value, "not_approved"})  # the reasons of ends that stand
AT_ONCE = 5_000  # most actions asked for again in one transaction

_of_endpoint = Sql(
    """
    SELECT a.id FROM actions.actions_actions a JOIN actions.actions_plays p ON p.id = a.play
    WHERE a.addressee = ? AND a.recipient = ? AND a.channel = ? AND a.status = ? AND a.due_at > ?
    AND (a.reason IS NULL OR a.reason NOT IN ({never})) AND CAST(a.rendered AS TEXT) <> 'null' AND p.status <> 'exited'
    ORDER BY a.seq LIMIT ? {lock_free}
""",
    never=", ".join(f"'{reason}'" for reason in sorted(NEVER)),
)


def endpoint_again(conn: Connection, channel: str, endpoint: str, status: str, after: int, now: int) -> int:
    """Ask again for what ended with this status and was due after this moment; returns how many there were.

    At most `AT_ONCE`. What has no content, as it could not be rendered, is left out.
    """
    to = (search_columns.recipient(endpoint, channel), endpoint)
    ids = _of_endpoint.run(conn, *to, channel, status, after, AT_ONCE).scalars().all()
    if ids:
        ask_again(conn, listed(conn, ids), now)
    return len(ids)
