"""The Prometheus metrics of the rules service."""

from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge

from backbone.status_metrics import StatusGauge
from schemas.reasons import Reason

EVENTS_DECIDED = Counter("touchline_events_decided", "Events that rules has processed")
EVENTS_LATE = Counter("touchline_events_late", "Events more than 7 days behind their account's newest")
EVENTS_SENT_ON = Counter(
    "touchline_events_sent_on", "Events of merged accounts, sent on to the account that goes on"
)
EVENTS_REPEATED = Counter("touchline_events_repeated", "Events that were there already")
DECISIONS = Counter("touchline_decisions", "Decisions of rules, by reason", ["rule", "reason"])
RULE_UNHEALTHY = Gauge("touchline_rule_unhealthy", "1 for a rule that cannot be evaluated", ["rule"])
CLOCK_AHEAD = StatusGauge(
    "touchline_partition_clock_ahead_seconds",
    "By how much the furthest partition's clock is ahead of this machine's; 0 where that is nothing to speak of",
    ("service",),
)

SOURCE_SILENT = StatusGauge(
    "touchline_source_silent",
    "1 where no event of a rule's `alive` has come for longer than its `within`",
    ("service", "event", "within"),
)


def count_decisions(reasons: Mapping[tuple[str, str], int]) -> None:
    """Count a batch's decisions by (rule, reason). A decision about an event as such has no rule."""
    for (rule, reason), count in reasons.items():
        if rule:
            DECISIONS.labels(rule, reason).inc(count)
        elif reason == Reason.DUPLICATE:
            EVENTS_REPEATED.inc(count)
        elif reason == Reason.LATE:
            EVENTS_LATE.inc(count)
        elif reason == Reason.ACCOUNT_MERGED:
            EVENTS_SENT_ON.inc(count)


def show_health(partitions: Iterable[Iterable[str]], shown: set[str]) -> set[str]:
    """Show which rules failed, by partition, and stop showing those of `shown` that are well again.

    Returns the rules that are shown now.
    """
    unhealthy = {rule for rules in partitions for rule in rules}
    for rule in unhealthy ^ shown:
        RULE_UNHEALTHY.labels(rule).set(int(rule in unhealthy))
    return unhealthy
