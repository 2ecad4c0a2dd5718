"""Postmark's webhooks for bounces, spam complaints, and changes of subscription.

https://postmarkapp.com/developer/webhooks/bounce-webhook
https://postmarkapp.com/developer/api/bounce-api#bounce-types
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

_KINDS = {
    "HardBounce": ReportKind.HARD_BOUNCE,
    "BadEmailAddress": ReportKind.HARD_BOUNCE,
    "SpamComplaint": ReportKind.COMPLAINT,
    # a delay, or an answer of a machine
    "Transient": ReportKind.NO_MATTER,
    "DnsError": ReportKind.NO_MATTER,
    "AutoResponder": ReportKind.NO_MATTER,
    "AddressChange": ReportKind.NO_MATTER,
    "ChallengeVerification": ReportKind.NO_MATTER,
    "Subscribe": ReportKind.NO_MATTER,
    "Unsubscribe": ReportKind.NO_MATTER,
    "OpenRelayTest": ReportKind.NO_MATTER,
    # the address is not to blame
    "DMARCPolicy": ReportKind.NOT_SENT,
    "InboundError": ReportKind.NOT_SENT,
    "ManuallyDeactivated": ReportKind.NOT_SENT,
    "SMTPApiError": ReportKind.NOT_SENT,
    "TemplateRenderingFailed": ReportKind.NOT_SENT,
    "Unconfirmed": ReportKind.NOT_SENT,
    "VirusNotification": ReportKind.NOT_SENT,
}  # any other type, such as SoftBounce, Blocked or SpamNotification, is a soft bounce
_TIMES = ("BouncedAt", "ChangedAt")


def reports(body: object) -> Reports:
    """The report in a call; Postmark makes one for each."""
    for one in body if isinstance(body, list) else [body]:
        yield _report(one) if isinstance(one, dict) else None


def _report(body: dict[str, Any]) -> MailReport | None:
    action = action_in(metadata_of(part(body, "Metadata")), body.get("MessageID"))
    at = next((found for name in _TIMES if (found := from_text(body.get(name))) is not None), None)
    return report(action, _kind(body), at, body.get("Type"), body.get("Description"), body.get("Details"))


def _kind(body: dict[str, Any]) -> ReportKind:
    match body.get("RecordType"):
        case "Bounce":
            return _KINDS.get(str(body.get("Type")), ReportKind.SOFT_BOUNCE)
        case "SpamComplaint":
            return ReportKind.COMPLAINT
        case "SubscriptionChange" if body.get("SuppressSending") is True:
            return _KINDS.get(str(body.get("SuppressionReason")), ReportKind.NO_MATTER)
        case _:  # Delivery, Open, Click, …
            return ReportKind.NO_MATTER
