"""Compares the deliveries in the tables with the mails and webhooks that the sinks received."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Row, select

from backbone.database import Database
from services.actions.channels.email.smtp import SmtpTransport
from services.actions.channels.webhook.channel import AT_ONCE
from services.actions.tables import actions, attempts
from tests.e2e.sinks import Arrived

SENT = {"done", "uncertain", "skipped"}
COLUMNS = [actions.c[name] for name in ("id", "channel", "status", "reason", "attempts")]


class Witness(Protocol):
    """Anything that can tell what arrived."""

    def arrived(self) -> Arrived:
        """Everything that has arrived."""
        ...


@dataclass
class Delivered:
    """Two figures: arrivals after the first for the same action, and mails whose end nobody knows."""

    repeats: int
    uncertain: int


def settled(status: str, reason: str | None, tries: int) -> str:
    """The status that the pure answer gives to an action with this end. In the pure answer, everything arrives at once.

    An action that was to be sent and is skipped can only have broken off, with its play exited before the next attempt.
    """
    if status == "uncertain" or (status == "skipped" and reason == "play_exited" and tries > 0):
        return "done"
    return status


def check_deliveries(db: Database, sinks: Witness, said: Mapping[str, str], kills: int) -> Delivered:
    """Check that every action that is done arrived as rendered, and that every arrival has an action and an attempt.

    `said`: by action, the text in its row. `kills`: how often actions was killed. A kill leaves in doubt the webhooks
    on the wire to the workload's one endpoint (at most `AT_ONCE`), and one mail on each connection.
    """
    with db.read() as conn:
        rows = conn.execute(select(*COLUMNS)).all()
        tries: dict[str, list[str]] = defaultdict(list)
        for row in conn.execute(select(attempts).order_by(attempts.c.action, attempts.c.n)):
            assert row.ended_at is not None, f"an attempt at {row.action} has no end"
            tries[row.action].append(row.outcome)
            assert row.n == len(tries[row.action]), f"attempts at {row.action} are missing"
    arrived = sinks.arrived()
    sent = {row.id: row for row in rows if row.channel != "task"}
    strangers = arrived.counts.keys() - sent.keys()
    assert not strangers, f"arrived without an action: {sorted(strangers)[:5]}"
    assert not arrived.unlike, f"repeats with another content: {arrived.unlike[:5]}"
    for row in sent.values():
        _check_one(row, tries[row.id], arrived, said[row.id])
    repeats = arrived.counts.total() - len(arrived.counts)
    assert repeats <= AT_ONCE * kills, f"{repeats} repeats at the sinks after {kills} kills"
    uncertain = sum(row.status == "uncertain" for row in rows)
    assert uncertain <= SmtpTransport.concurrency * kills, (
        f"{uncertain} mails are uncertain after {kills} kills"
    )
    return Delivered(repeats, uncertain)


def _check_one(row: Row[Any], tries: list[str], arrived: Arrived, said: str) -> None:
    count = arrived.counts[row.id]
    assert row.status in SENT, f"{row.id}: {row}"
    assert row.attempts == len(tries), f"{row.id} has {row.attempts} attempts, of which {tries} are recorded"
    assert count <= len(tries), f"{row.id} arrived {count} times, {len(tries)} attempts are recorded"
    assert row.channel != "email" or count <= 1, f"mail {row.id} arrived {count} times"
    assert (tries.count("done"), tries[-1:] == ["done"]) == (
        (1, True) if row.status == "done" else (0, False)
    ), f"{row.id} is {row.status}: {tries}"
    assert count >= 1 or row.status != "done", f"{row.id} is done and never arrived"
    assert not count or arrived.said[row.id] == said, (
        f"{row.id} arrived as {arrived.said[row.id]}, not {said}"
    )
