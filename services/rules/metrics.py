"""What the rules service tells Prometheus (the meters stand in `backbone/telemetry.py`)."""

from collections.abc import Iterable, Mapping

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
        elif reason == Reason.ACCOUNT_MERGED:
            telemetry.EVENTS_SENT_ON.inc(count)


def show_health(partitions: Iterable[Iterable[str]], shown: set[str]) -> set[str]:
    """Show which rules failed, by partition, and no more those of `shown` that are well again; what is shown now."""
    unhealthy = {rule for rules in partitions for rule in rules}
    for rule in unhealthy ^ shown:
        telemetry.RULE_UNHEALTHY.labels(rule).set(int(rule in unhealthy))
    return unhealthy


def show_lag(lags: Mapping[int, int]) -> None:
    """Events not yet processed, by partition."""
    for partition, lag in lags.items():
        telemetry.LAG.labels("rules", str(partition)).set(lag)
