"""What the actions service tells Prometheus."""

from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram

from backbone.status_metrics import StatusGauge
from backbone.telemetry import LATENCY
from services.actions.plays.model import Play

PLAYS = Counter("touchline_plays", "Plays by the status they came to", ["playbook", "status", "reason"])
PLAYBOOK_UNHEALTHY = Gauge(
    "touchline_playbook_unhealthy", "1 for a playbook that cannot be read", ["playbook"]
)
ACTIONS = Counter("touchline_actions", "Actions by the status they came to", ["channel", "status", "reason"])
ATTEMPTS = Counter("touchline_attempts", "Attempts to carry out an action", ["channel", "outcome"])
MAIL_SERVER_REFUSES = Gauge(
    "touchline_mail_server_refuses", "1 while the mail server does not let us send anything"
)
ACTIONS_DUE = StatusGauge("touchline_actions_due", "Actions due and not done")
EVENT_TO_ACTION = Histogram(
    "touchline_event_to_action_seconds", "From an event's time to its action", buckets=LATENCY
)
RECEIPT_TO_ACTION = Histogram(
    "touchline_receipt_to_action_seconds", "From receipt to the action", buckets=LATENCY
)

SECOND_US = 1_000_000


def count_plays(written: Iterable[Play]) -> None:
    """Plays that a commit started or changed, by the status they came to."""
    for play in written:
        PLAYS.labels(play.playbook, play.status, play.reason or "").inc()


def measure(answered: Iterable[tuple[int, int]], now: int, *, log_clock: bool) -> None:
    """How long after their events, (time, receipt) each, the first steps of plays were recorded.

    With the log clock the time of an event says nothing of now.
    """
    for time, receipt in answered:
        if not log_clock:
            EVENT_TO_ACTION.observe(max(0, now - time) / SECOND_US)
        RECEIPT_TO_ACTION.observe(max(0, now - receipt) / SECOND_US)


def count_actions(actions: Mapping[tuple[str, str, str], int]) -> None:
    """Actions that a commit recorded, by (channel, status, reason)."""
    for labels, count in actions.items():
        ACTIONS.labels(*labels).inc(count)


def show_health(unhealthy: set[str], shown: set[str]) -> set[str]:
    """Playbooks that cannot be read, and those shown as such until now; returns those shown from now on."""
    for playbook in unhealthy ^ shown:
        PLAYBOOK_UNHEALTHY.labels(playbook).set(int(playbook in unhealthy))
    return unhealthy
