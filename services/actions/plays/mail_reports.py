"""What reports about mails say, and what follows from them. Pure."""

from collections.abc import Iterable
from enum import StrEnum

from schemas.play_reasons import ActionReason

DAY_US = 86_400_000_000
SOFT_BOUNCES = 3  # so many different mails that bounce softly suppress the address, if they do
WITHIN_US = 7 * DAY_US  # within this time


class ReportKind(StrEnum):
    """What a report says. `not_sent`: the provider did not send it, for a reason other than the address."""

    HARD_BOUNCE = "hard_bounce"
    SOFT_BOUNCE = "soft_bounce"
    NOT_SENT = "not_sent"
    COMPLAINT = "complaint"
    NO_MATTER = "no_matter"  # a delay, a delivery, not-spam: nothing follows from it


REASONS = {
    ReportKind.HARD_BOUNCE: ActionReason.BOUNCED,
    ReportKind.SOFT_BOUNCE: ActionReason.BOUNCED,
    ReportKind.NOT_SENT: ActionReason.BOUNCED,
    ReportKind.COMPLAINT: ActionReason.COMPLAINED,
}
EVENTS = {ActionReason.BOUNCED: "email.bounced", ActionReason.COMPLAINED: "email.complained"}
FINAL = (ReportKind.HARD_BOUNCE, ReportKind.COMPLAINT)  # the address gets no more mail, at once


def too_often(times: Iterable[int]) -> bool:
    """Whether soft bounces of different mails at these moments, in microseconds, suppress their address."""
    order = sorted(times)
    return any(
        last - first < WITHIN_US for first, last in zip(order, order[SOFT_BOUNCES - 1 :], strict=False)
    )
