"""An action with its content, the message that goes over the wire, and every attempt."""

from typing import Any

from sqlalchemy import Connection, Row, select

from backbone.errors import NotFound
from services.actions.api.views import action_view, attempt_view, case_of, report_view
from services.actions.channels.email.channel import StagingRecipients
from services.actions.channels.email.shown import wire_text
from services.actions.storage import mail_reports
from services.actions.tables import actions, attempts


class Details:
    """Shows actions. `staging`: where mails go instead, if they do."""

    def __init__(self, staging: StagingRecipients = StagingRecipients()) -> None:
        self._staging = staging

    def get(self, conn: Connection, action: str) -> dict[str, Any]:
        """An action by its id. Raises `NotFound`."""
        row = conn.execute(select(actions).where(actions.c.id == action)).one_or_none()
        if row is None:
            raise NotFound(f"there is no action {action!r}")
        return self._of(conn, row)

    def _of(self, conn: Connection, row: Row[Any]) -> dict[str, Any]:
        tried = select(attempts).where(attempts.c.action == row.id).order_by(attempts.c.n)
        history = [attempt_view(attempt, case_of(row)) for attempt in conn.execute(tried)]
        history += [
            report_view(one, row.attempts, case_of(row)) for one in mail_reports.of_actions(conn, [row.id])
        ]
        is_mail = row.channel == "email" and row.rendered is not None
        message = wire_text(row, self._staging) if is_mail else None
        return {**action_view(row), "rendered": row.rendered, "message": message, "history": history}
