"""The delivery policy."""

import pytest

from services.actions.channels import CHANNELS
from services.actions.plays.retry_policy import (
    LONGEST_PAUSE,
    MINUTE,
    SECOND,
    Decision,
    Outcome,
    decide,
)

WEBHOOK_SCHEDULE = CHANNELS["webhook"].schedule
NOW = 1_000 * SECOND


@pytest.mark.parametrize(
    ("kind", "status"),
    [("done", "done"), ("permanent", "failed"), ("uncertain", "uncertain"), ("skipped", "skipped")],
)
def test_what_is_not_tried_again(kind: str, status: str) -> None:
    decision = decide(Outcome(kind=kind, reason="x"), 1, NOW, WEBHOOK_SCHEDULE)  # type: ignore[arg-type]
    assert decision == Decision(status=status, reason="x")  # type: ignore[arg-type]


def test_temporary_failures_follow_the_schedule_and_then_fail() -> None:
    outcome = Outcome(kind="temporary", reason="timeout")
    for attempt, pause in enumerate(WEBHOOK_SCHEDULE, 1):
        decision = decide(outcome, attempt, NOW, WEBHOOK_SCHEDULE)
        assert decision == Decision(status="retrying", reason="timeout", next_attempt_at=NOW + pause)
    last = decide(outcome, len(WEBHOOK_SCHEDULE) + 1, NOW, WEBHOOK_SCHEDULE)
    assert last == Decision(status="failed", reason="attempts_exhausted")


@pytest.mark.parametrize(
    ("asked", "pause"), [(1, 5 * SECOND), (MINUTE, MINUTE), (90 * LONGEST_PAUSE, LONGEST_PAUSE)]
)
def test_retry_after_is_heeded_within_bounds(asked: int, pause: int) -> None:
    decision = decide(Outcome(kind="temporary", retry_after=asked), 1, NOW, WEBHOOK_SCHEDULE)
    assert decision.next_attempt_at == NOW + pause


def test_an_interrupted_attempt_is_made_again_at_once() -> None:
    decision = decide(Outcome(kind="interrupted", reason="interrupted"), 1, NOW, WEBHOOK_SCHEDULE)
    assert (decision.status, decision.next_attempt_at) == ("retrying", NOW)


@pytest.mark.parametrize(
    ("channel", "status", "reason", "kind"),
    [
        ("email", "done", None, "email.sent"),
        ("email", "failed", "bounced", "email.bounced"),
        ("email", "failed", "template_error", None),
        ("email", "uncertain", None, None),
        ("webhook", "done", None, "webhook.delivered"),
        ("webhook", "failed", "rejected", "webhook.failed"),
        ("webhook", "skipped", "play_exited", None),
        ("task", "done", None, None),
    ],
)
def test_which_ends_are_told(channel: str, status: str, reason: str | None, kind: str | None) -> None:
    assert CHANNELS[channel].event(status, reason) == kind
