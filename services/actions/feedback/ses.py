"""Amazon SES: feedback notifications and published events, which differ in one name.

https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from typing import Any

from services.actions.feedback.report import (
    MailReport,
    Reports,
    action_in,
    from_text,
    metadata_of,
    part,
    report,
)
from services.actions.plays.mail_reports import ReportKind

_NAMES = ("x-touchline-action", "x-pm-metadata-touchline", "message-id", "x-ses-message-tags")
_BOUNCES = {"Permanent": ReportKind.HARD_BOUNCE}  # Transient, Undetermined: soft
_NO_COMPLAINT = frozenset({"not-spam", "auth-failure"})
_NOT_SENT = frozenset({"Reject", "Rendering Failure"})


def reports(message: object) -> Reports:
    """The report in one notification. Our mails have one recipient each, so there is one."""
    yield _report(message) if isinstance(message, dict) else None


def _report(message: dict[str, Any]) -> MailReport | None:
    mail = part(message, "mail")
    action, event = _action(mail), str(message.get("eventType", message.get("notificationType")))
    if event == "Bounce":
        bounce = part(message, "bounce")
        kind = _BOUNCES.get(str(bounce.get("bounceType")), ReportKind.SOFT_BOUNCE)
        return report(action, kind, from_text(bounce.get("timestamp")), *_words(bounce))
    if event == "Complaint":
        said = part(message, "complaint")
        type_ = said.get("complaintFeedbackType")
        kind = ReportKind.NO_MATTER if str(type_) in _NO_COMPLAINT else ReportKind.COMPLAINT
        words = (type_, said.get("complaintSubType"), said.get("userAgent"))
        return report(action, kind, from_text(said.get("timestamp")), *words)
    kind = ReportKind.NOT_SENT if event in _NOT_SENT else ReportKind.NO_MATTER
    why = part(message, "reject").get("reason"), part(message, "failure").get("errorMessage")
    return report(action, kind, from_text(mail.get("timestamp")), *why)


def _words(bounce: dict[str, Any]) -> tuple[object, ...]:
    hit = bounce.get("bouncedRecipients")
    first = hit[0] if isinstance(hit, list) and hit and isinstance(hit[0], dict) else {}
    return bounce.get("bounceType"), bounce.get("bounceSubType"), first.get("diagnosticCode")


def _action(mail: dict[str, Any]) -> str | None:
    """The action, from our own headers or tags: SES gives the message another id."""
    listed = mail.get("headers")
    headers = {
        str(one.get("name")).lower(): one.get("value")
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict)
    }
    tag = metadata_of(part(mail, "tags"))
    tags = tag if isinstance(tag, list) else [tag]
    return action_in(
        *(headers.get(name) for name in _NAMES), part(mail, "commonHeaders").get("messageId"), *tags
    )
