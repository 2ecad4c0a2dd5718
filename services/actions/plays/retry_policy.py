"""The retry policy: what becomes of an action after an attempt. Pure; the channels only report outcomes."""

from typing import Literal

import msgspec

SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000

Kind = Literal["done", "temporary", "permanent", "uncertain", "skipped", "interrupted"]

_ANSWERS = frozenset({"deferred", "rejected", "bounced"})
LONGEST_PAUSE = 24 * HOUR  # a longer `Retry-After` is cut to this


class Outcome(msgspec.Struct, kw_only=True, frozen=True):
    """How an attempt ended.

    done: it arrived · temporary: try again · permanent: trying again is of no use · uncertain: it may have
    arrived, and must not be sent twice · skipped: it was not tried (suppressed, play exited) · interrupted:
    the process died between the start of the attempt and its end.
    """

    kind: Kind
    reason: str | None = None  # one of the closed set
    detail: str = ""  # for people: the server's answer, the error
    retry_after: int | None = None  # microseconds from now, as the other side asked

    @property
    def answered(self) -> bool:
        """Whether the other side answered at all, whatever it thinks of the action."""
        return self.kind == "done" or self.reason in _ANSWERS


class Decision(msgspec.Struct, kw_only=True, frozen=True):
    """The values to write into the action's row; `next_attempt_at` only with status `retrying`."""

    status: Literal["done", "retrying", "failed", "uncertain", "skipped"]
    reason: str | None = None
    next_attempt_at: int | None = None


def decide(outcome: Outcome, attempt: int, now: int, schedule: tuple[int, ...]) -> Decision:
    """The decision after attempt number `attempt` (from 1) that ended at `now`."""
    match outcome.kind:
        case "done" | "uncertain" | "skipped":
            return Decision(status=outcome.kind, reason=outcome.reason)
        case "permanent":
            return Decision(status="failed", reason=outcome.reason)
    if attempt > len(schedule):
        return Decision(status="failed", reason="attempts_exhausted")
    pause = 0 if outcome.kind == "interrupted" else schedule[attempt - 1]
    if outcome.retry_after is not None:
        pause = min(max(pause, outcome.retry_after), LONGEST_PAUSE)
    return Decision(status="retrying", reason=outcome.reason, next_attempt_at=now + pause)
