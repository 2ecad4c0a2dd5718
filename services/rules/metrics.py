"""What the rules service counts, for Prometheus."""

from collections import Counter as Tally
from collections.abc import Mapping

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The meters of one rules worker."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._events = Counter(
            "touchline_rules_events", "Records of touchline.events processed", registry=registry
        )
        self._decisions = Counter(
            "touchline_rules_decisions", "Decisions by rule and reason", ["rule", "reason"], registry=registry
        )
        self._batches = Histogram(
            "touchline_rules_batch_seconds", "Time to judge and commit a batch", registry=registry
        )
        self._dead = Counter("touchline_rules_dead_letters", "Records that could not be read", registry=registry)
        self._latency = Histogram(
            "touchline_rules_trigger_latency_seconds",
            "From the receipt of an event to the commit of what it triggered",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
            registry=registry,
        )
        self._unhealthy = Gauge(
            "touchline_rules_unhealthy", "Rules set aside because they failed", registry=registry
        )

    def batch(self, records: int, seconds: float) -> None:
        """A batch was committed."""
        self._events.inc(records)
        self._batches.observe(seconds)

    def decided(self, reasons: Mapping[tuple[str, str], int] | Tally[tuple[str, str]]) -> None:
        """Decisions of a batch, counted by (rule, reason)."""
        for (rule, reason), count in reasons.items():
            self._decisions.labels(rule, reason).inc(count)

    def dead_letters(self, count: int) -> None:
        """Records went to the dead letters."""
        self._dead.inc(count)

    def triggered(self, seconds: float) -> None:
        """A trigger was committed that long after its event was received."""
        self._latency.observe(seconds)

    def unhealthy(self, rules: int) -> None:
        """How many rules failed and were set aside."""
        self._unhealthy.set(rules)
