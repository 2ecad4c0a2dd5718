"""The Prometheus metrics of the ingest service."""

from prometheus_client import Counter, Histogram

from backbone.telemetry import QUICK

EVENTS_ACCEPTED = Counter("touchline_events_accepted", "Events written to the log", ["source"])
EVENTS_REJECTED = Counter("touchline_events_rejected", "Events refused, by the code of the refusal", ["code"])
HOOK_ELEMENTS = Counter(
    "touchline_hook_elements",
    "Elements of hooks, by what became of them: accepted, ignored, unmatched, rejected",
    ["source", "outcome"],
)
APPEND_SECONDS = Histogram(
    "touchline_append_seconds", "Time the log took to make a request durable", buckets=QUICK
)
UNMATCHED = Counter(
    "touchline_unmatched_events",
    "Events of sources whose account nobody knew: parked, found, assigned, expired, or dropped as too many",
    ["outcome"],
)
