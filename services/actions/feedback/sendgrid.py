"""SendGrid's event webhook: a list of events of every kind.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from typing import Any

from services.actions.feedback.report import (
    MailReport,
    Reports,
    action_in,
    from_seconds,
    metadata_of,
    report,
)
from services.actions.plays.mail_reports import ReportKind

# Why SendGrid dropped a mail without sending it, in lower case; for any other reason the address is not to blame.
_DROPPED = {
    "bounced address": ReportKind.HARD_BOUNCE,
    "invalid": ReportKind.HARD_BOUNCE,
    "spam reporting address": ReportKind.COMPLAINT,
}


def reports(events: object) -> Reports:
    """A report for each event."""
    for event in events if isinstance(events, list) else [events]:
        yield _report(event) if isinstance(event, dict) else None


def _report(event: dict[str, Any]) -> MailReport | None:
    # Unique arguments stand beside SendGrid's own fields. `smtp-id` is our Message-ID only where it was kept.
    action = action_in(metadata_of(event), event.get("smtp-id"))
    words = event.get("type"), event.get("status"), event.get("reason", event.get("response"))
    return report(action, _kind(event), from_seconds(event.get("timestamp")), *words)


def _kind(event: dict[str, Any]) -> ReportKind:
    match event.get("event"):
        case "bounce":  # `blocked`: the server refused this mail, and not the address
            return ReportKind.SOFT_BOUNCE if event.get("type") == "blocked" else ReportKind.HARD_BOUNCE
        case "dropped":
            return _DROPPED.get(str(event.get("reason")).strip().lower(), ReportKind.NOT_SENT)
        case "spamreport":
            return ReportKind.COMPLAINT
        case _:  # deferred, processed, delivered, open, click, unsubscribe, …
            return ReportKind.NO_MATTER
