"""What the rules service tells Prometheus (the meters stand in `backbone/telemetry.py`)."""

from collections.abc import Mapping

from backbone import telemetry
from schemas.reasons import Reason


def count_decisions(reasons: Mapping[tuple[str, str], int]) -> None:
    """Decisions of a batch by (rule, reason); what holds for an event whatever the rule has no rule."""
    for (rule, reason), count in reasons.items():
        if rule:
            telemetry.DECISIONS.labels(rule, reason).inc(count)
        elif reason == Reason.DUPLICATE:
            telemetry.EVENTS_REPEATED.inc(count)
        elif reason == Reason.LATE:
            telemetry.EVENTS_LATE.inc(count)


def show_health(unhealthy: Mapping[str, str]) -> None:
    """Rules of a partition that failed and were set aside."""
    for rule in unhealthy:
        telemetry.RULE_UNHEALTHY.labels(rule).set(1)


def show_lag(lags: Mapping[int, int]) -> None:
    """Events not yet processed, by partition."""
    for partition, lag in lags.items():
        telemetry.LAG.labels("rules", str(partition)).set(lag)
