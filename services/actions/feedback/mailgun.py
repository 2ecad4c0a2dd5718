"""Mailgun's webhooks: one event in a call.

https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads
"""

from typing import Any

from services.actions.feedback.report import (
    MailReport,
    Reports,
    action_in,
    from_seconds,
    metadata_of,
    part,
    report,
)
from services.actions.plays.mail_reports import ReportKind

# Reasons of failures for good that say less than that the address is dead.
_REASONS = {
    "old": ReportKind.SOFT_BOUNCE,  # it was tried for hours
    "espblock": ReportKind.SOFT_BOUNCE,  # the recipient's provider blocks the sender
    "suppress-complaint": ReportKind.COMPLAINT,
    "suppress-unsubscribe": ReportKind.NOT_SENT,
}


def reports(body: object) -> Reports:
    """The report in a call."""
    event = part(body, "event-data")
    yield _report(event) if event else None


def _report(event: dict[str, Any]) -> MailReport | None:
    headers = part(part(event, "message"), "headers")
    action = action_in(metadata_of(part(event, "user-variables")), headers.get("message-id"))
    status = part(event, "delivery-status")
    words = event.get("severity"), event.get("reason"), status.get("description"), status.get("message")
    return report(action, _kind(event), from_seconds(event.get("timestamp")), *words)


def _kind(event: dict[str, Any]) -> ReportKind:
    reason = str(event.get("reason"))
    match event.get("event"), event.get("severity"):
        case "failed", "permanent":
            return _REASONS.get(reason, ReportKind.HARD_BOUNCE)
        case "failed", _:  # it is tried again, except for the last time
            return ReportKind.SOFT_BOUNCE if reason == "old" else ReportKind.NO_MATTER
        case "complained", _:
            return ReportKind.COMPLAINT
        case "rejected", _:
            return ReportKind.NOT_SENT
        case _:  # delivered, opened, clicked, unsubscribed, …
            return ReportKind.NO_MATTER
