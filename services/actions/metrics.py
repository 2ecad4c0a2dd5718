"""What the actions worker counts, for Prometheus; the metrics themselves are in `backbone.telemetry`."""

from collections.abc import Iterable, Mapping

from backbone import telemetry
from services.actions.plays.model import Play

SECOND_US = 1_000_000


def count_plays(written: Iterable[Play]) -> None:
    """Plays that a commit started or changed, by the status they came to."""
    for play in written:
        telemetry.PLAYS.labels(play.playbook, play.status, play.reason or "").inc()


def measure(answered: Iterable[tuple[int, int]], now: int, *, log_clock: bool) -> None:
    """How long after their events, (time, receipt) each, the first steps of plays were recorded.

    With the log clock the time of an event says nothing of now.
    """
    for time, receipt in answered:
        if not log_clock:
            telemetry.EVENT_TO_ACTION.observe(max(0, now - time) / SECOND_US)
        telemetry.RECEIPT_TO_ACTION.observe(max(0, now - receipt) / SECOND_US)


def count_actions(actions: Mapping[tuple[str, str, str], int]) -> None:
    """Actions that a commit recorded, by (channel, status, reason)."""
    for labels, count in actions.items():
        telemetry.ACTIONS.labels(*labels).inc(count)


def show_health(unhealthy: set[str], shown: set[str]) -> set[str]:
    """Playbooks that cannot be read, and those shown as such until now; returns those shown from now on."""
    for playbook in unhealthy ^ shown:
        telemetry.PLAYBOOK_UNHEALTHY.labels(playbook).set(int(playbook in unhealthy))
    return unhealthy
