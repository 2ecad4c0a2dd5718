"""What the actions worker counts, for Prometheus; the metrics themselves are in `backbone.telemetry`."""

from collections.abc import Iterable, Mapping

from backbone import telemetry
from services.actions.plays.model import Play
from services.actions.plays.moments import instant
from services.actions.plays.partition import GRACE_US

SECOND_US = 1_000_000


def count_plays(written: Iterable[Play], now: int) -> None:
    """Plays that a commit started or ended, and how long after their event the first steps were taken."""
    for play in written:
        telemetry.PLAYS.labels(play.playbook, play.status, play.reason or "").inc()
        if play.status == "skipped" or play.started_at < now - 3_600 * SECOND_US:
            continue  # started long ago (or replayed on the log clock): its steps are no answer to an event
        telemetry.EVENT_TO_ACTION.observe(max(0, now - instant(play.trigger["at"])) / SECOND_US)
        telemetry.RECEIPT_TO_ACTION.observe(max(0, now - play.started_at - GRACE_US) / SECOND_US)


def count_actions(actions: Mapping[tuple[str, str, str], int]) -> None:
    """Actions that a commit recorded, by (channel, status, reason)."""
    for labels, count in actions.items():
        telemetry.ACTIONS.labels(*labels).inc(count)
