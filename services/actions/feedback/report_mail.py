"""Reports that are mails: delivery status notifications (RFC 3464), and complaints (RFC 5965).

They come to the return path, where anybody may send anything: whatever is no such report counts as about no mail.
"""

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import Message
from email.utils import parsedate_to_datetime

from services.actions.feedback.report import (
    MailReport,
    Reports,
    action_in,
    from_seconds,
    report,
)
from services.actions.plays.mail_reports import ReportKind

_STATUS = re.compile(r"(?<![0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9.])")
_OURS = ("x-touchline-action", "message-id")  # headers of the mail that is reported about
_REPLIES = ("in-reply-to", "references")  # headers of the report
_NO_COMPLAINT = frozenset({"not-spam", "auth-failure", "dmarc"})
_BY_GRAVITY = (ReportKind.HARD_BOUNCE, ReportKind.SOFT_BOUNCE, ReportKind.NO_MATTER)
_BOUNDARY = re.compile(rb"boundary\s*=", re.IGNORECASE)
MAX_PARTS = 100
MAX_NESTED = 50  # parts in parts in parts, each of which makes the parser slower


def reports(body: bytes) -> Reports:
    """The report in a mail, whichever of the two it is."""
    if sum(1 for _ in _BOUNDARY.finditer(body)) > MAX_NESTED:
        yield None
        return
    try:
        yield _report(email.message_from_bytes(body, policy=email.policy.compat32))
    except (
        RecursionError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ):  # the parser's own, on odd mails
        yield None


def _report(mail: Message) -> MailReport | None:
    parts = _parts(mail)
    by_type = {part.get_content_type(): part for part in reversed(parts)}
    action = action_in(*_ids(mail, parts))
    if (complaint := by_type.get("message/feedback-report")) is not None:
        return _complaint(action, complaint)
    if (status := by_type.get("message/delivery-status")) is not None:
        return _delivery(action, mail, status)
    return None


def _parts(mail: Message) -> list[Message]:
    """The parts of the report itself, not those of the mail that it is about."""
    return _blocks(mail)[:MAX_PARTS] if mail.get_content_type() == "multipart/report" else []


def _ids(mail: Message, parts: list[Message]) -> Iterator[object]:
    """Where our id may stand: in the mail that was returned, else in what the report refers to."""
    for part in parts:
        if (returned := _returned(part)) is not None:
            yield from (returned.get(name) for name in _OURS)
    for part in parts:
        if part.get_content_type() == "message/delivery-status":
            yield from (block.get("original-envelope-id") for block in _blocks(part))
    yield from (mail.get(name) for name in _REPLIES)


def _returned(part: Message) -> Message | None:
    """The mail that the report is about, or its headers."""
    match part.get_content_type():
        case "message/rfc822" | "message/global":
            return _first(part)
        case "text/rfc822-headers" | "message/rfc822-headers" | "message/global-headers":
            raw = part.get_payload(decode=True)
            return email.message_from_bytes(raw) if isinstance(raw, bytes) else _first(part)
        case _:
            return None


def _first(part: Message) -> Message | None:
    blocks = _blocks(part)
    return blocks[0] if blocks else None


def _blocks(part: Message) -> list[Message]:
    """What is inside a part: other parts, or groups of fields, of which the parser makes messages too."""
    inner = part.get_payload()
    return [one for one in inner if isinstance(one, Message)] if isinstance(inner, list) else []


def _complaint(action: str | None, part: Message) -> MailReport | None:
    fields = _first(part)
    if fields is None:
        return None
    type_ = str(fields.get("feedback-type", "")).strip().lower()
    kind = ReportKind.NO_MATTER if type_ in _NO_COMPLAINT else ReportKind.COMPLAINT
    at = _time(fields.get("arrival-date") or fields.get("received-date"))
    return report(action, kind, at, type_, str(fields.get("user-agent", "")))


def _delivery(action: str | None, mail: Message, part: Message) -> MailReport | None:
    """The gravest of what the notification says: our mails have one recipient, which may stand for several."""
    found = [(_kind(block), block) for block in _blocks(part) if block.get("action") is not None]
    if not found:
        return None
    kind, block = min(found, key=lambda one: _BY_GRAVITY.index(one[0]))
    at = _time(block.get("last-attempt-date")) or _time(mail.get("date"))
    return report(action, kind, at, *(str(block.get(name, "")) for name in ("status", "diagnostic-code")))


def _kind(block: Message) -> ReportKind:
    if str(block.get("action")).strip().lower() != "failed":  # delayed, delivered, relayed, expanded
        return ReportKind.NO_MATTER
    return ReportKind.HARD_BOUNCE if _is_dead(block) else ReportKind.SOFT_BOUNCE


def _is_dead(block: Message) -> bool:
    """Whether the address is: 5.1.x, except for what is about the sender, or 5.2.1 (RFC 3463).

    A status that tells nothing (5.0.0) is explained by the server's answer.
    """
    for text in (str(block.get("status", "")), str(block.get("diagnostic-code", ""))):
        status = _STATUS.search(text)
        if status is not None and (status[2], status[3]) != ("0", "0"):
            return status[1] == "5" and (
                (status[2] == "1" and status[3] not in ("7", "8")) or (status[2], status[3]) == ("2", "1")
            )
    return False


def _time(text: object) -> int | None:
    try:
        return from_seconds(parsedate_to_datetime(str(text)).timestamp()) if text else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
