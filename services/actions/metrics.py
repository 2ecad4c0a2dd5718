"""The metrics of the actions service."""

from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram

from backbone.status_metrics import StatusGauge
from backbone.telemetry import LATENCY
from services.actions.plays.model import Play

PLAYS = Counter("touchline_plays", "Plays by the status they came to", ["playbook", "status", "reason"])
PLAYBOOK_UNHEALTHY = Gauge(
    "touchline_playbook_unhealthy", "1 for a playbook that cannot be read", ["playbook"]
)
BREAKERS = Counter("touchline_breakers", "Times that the breaker paused a playbook", ["playbook"])
ACTIONS = Counter("touchline_actions", "Actions by the status they came to", ["channel", "status", "reason"])
ACTIONS.labels("email", "failed", "bounced")  # from 0 on, as the ones below
ATTEMPTS = Counter("touchline_attempts", "Attempts to carry out an action", ["channel", "outcome"])
TASK_MAILS = Counter(
    "touchline_task_mails",
    "Mails to assignees about their tasks by the status they came to",
    ["kind", "status"],
)
for _status in ("failed", "uncertain"):
    for _kind in ("made", "morning"):
        TASK_MAILS.labels(_kind, _status)  # from 0 on, as the ones below
MAIL_REPORTS = Counter(
    "touchline_mail_reports", "Reports about our mails, repeats included", ["provider", "kind"]
)
MAILS_RETURNED = Counter(
    "touchline_mails_returned", "Mails that a report came about, once for each kind of report", ["kind"]
)
for _kind in ("hard_bounce", "soft_bounce", "not_sent", "complaint"):
    MAILS_RETURNED.labels(_kind)  # from 0 on: the first one counts in rates too
MAIL_SERVER_REFUSES = Gauge(
    "touchline_mail_server_refuses", "1 while the mail server does not let us send anything"
)
MAIL_SERVER_SILENT = Gauge(
    "touchline_mail_server_silent",
    "1 while the mail server has left a mail without an answer for 5 seconds, or has hung up on mails for as long",
)
ENDPOINT_SILENT = Gauge(
    "touchline_endpoint_silent", "1 while an endpoint has not answered for 5 seconds", ["endpoint"]
)
ENDPOINT_FAILING = StatusGauge(
    "touchline_endpoint_failing_seconds",
    "How long an endpoint has failed, since the first failure after its last success",
    ("endpoint",),
)
ENDPOINT_DISABLED = StatusGauge(
    "touchline_endpoint_disabled", "1 for an endpoint that has failed for days and is disabled", ("endpoint",)
)
ACTIONS_DUE = StatusGauge("touchline_actions_due", "Actions due and not done")
MAILS_WAITING = StatusGauge(
    "touchline_mails_waiting", "Mails to contacts that have not begun, by what they wait for", ("reason",)
)
SENDING_OFF = StatusGauge("touchline_sending_off", "1 while no mail and no webhook goes out")
EVENT_TO_ACTION = Histogram(
    "touchline_event_to_action_seconds", "From an event's time to its action", buckets=LATENCY
)
RECEIPT_TO_ACTION = Histogram(
    "touchline_receipt_to_action_seconds", "From receipt to the action", buckets=LATENCY
)

SECOND_US = 1_000_000


def count_plays(written: Iterable[Play]) -> None:
    """Count the plays that a commit started or changed, by the status they came to."""
    for play in written:
        PLAYS.labels(play.playbook, play.status, play.reason or "").inc()


def count_trips(playbooks: Iterable[str]) -> None:
    """Count the playbooks that the breaker paused in a commit."""
    for playbook in playbooks:
        BREAKERS.labels(playbook).inc()


def measure(answered: Iterable[tuple[int, int]], now: int, *, log_clock: bool) -> None:
    """Observe how long after their events, (time, receipt time) each, the first steps of plays were recorded.

    With the log clock, an event's time is unrelated to the present, so only the receipt time counts.
    """
    for time, receipt in answered:
        if not log_clock:
            EVENT_TO_ACTION.observe(max(0, now - time) / SECOND_US)
        RECEIPT_TO_ACTION.observe(max(0, now - receipt) / SECOND_US)


def count_actions(actions: Mapping[tuple[str, str, str], int]) -> None:
    """Count the actions that a commit recorded, by (channel, status, reason)."""
    for labels, count in actions.items():
        ACTIONS.labels(*labels).inc(count)


def show_mail_server(trouble: object | None) -> None:
    """Show whether the mail server refuses us."""
    MAIL_SERVER_REFUSES.set(int(trouble is not None))


def show_health(unhealthy: set[str], shown: set[str]) -> set[str]:
    """Show which playbooks cannot be read. `shown`: those shown until now; returns those shown from now on."""
    for playbook in unhealthy ^ shown:
        PLAYBOOK_UNHEALTHY.labels(playbook).set(int(playbook in unhealthy))
    return unhealthy
