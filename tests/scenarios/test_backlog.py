"""Eight days that nobody judged: the rules worker, stopped, comes to what it would have come to live. Wall clock.

Receipt times are what counts (docs/decisions/0001): the log and the worker share a clock that the test moves.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import EVENTS, Entry
from backbone.log.embedded.log import EmbeddedLog
from schemas.event import Event, encode, from_microseconds
from schemas.rule import RuleIn
from services.rules import worker
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import triggers
from services.rules.worker import RulesWorker
from tests.migrated import migrated

HOUR = 3_600_000_000
DAY = 24 * HOUR
T0 = 1_790_000_000_000_000
ACCOUNTS, DAYS, QUIET = 40, 8, 2 * DAY
RULE = {
    "name": "gone", "status": "active", "when": {"absence": {"event": "login", "for": "2d"}},
}  # fmt: skip


class Rules:
    """A rules worker driven by hand, on a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.clock = ManualClock(T0)
        self.db = Database(f"sqlite:///{folder / 'touchline.db'}")
        migrated(self.db)
        self.log = EmbeddedLog(folder, 3, now=self.clock.now)
        saver = RuleRepository(self.db, self.log, self.clock)
        saver.run(lambda conn: saver.create(conn, RuleIn.model_validate(RULE), "test"))
        self.worker = RulesWorker(self.db, self.log, self.clock, clock_mode="wall")
        self.worker.join()

    def post(self, at: int, account: str) -> None:
        """A login, received at the moment it tells."""
        self.clock.set(at)
        event = Event(
            id=f"{account}-{at}", source="t", type="login", account=account, time=from_microseconds(at)
        )
        self.log.append(EVENTS, [Entry(key=account, value=encode(event))]).result(timeout=10)

    def catch_up(self) -> None:
        """Work until there is nothing to do at this moment."""
        ends = self.log.end_offsets(EVENTS)
        for _ in range(1_000):
            self.worker.run_once()
            tasks = self.worker.tasks
            if len(tasks) == len(ends) and all(
                tasks[p].row.next_offset >= end and not tasks[p].due(self.clock.now())
                for p, end in ends.items()
            ):
                return
        raise AssertionError("it never comes to rest")

    def fired(self) -> dict[str, tuple[str, str]]:
        """Triggers by id: account and moment."""
        with self.db.read() as conn:
            docs = [msgspec.json.decode(doc) for doc in conn.scalars(select(triggers.c.doc))]
        return {doc["id"]: (doc["account"], doc["at"]) for doc in docs}


@contextmanager
def rules(folder: Path) -> Iterator[Rules]:
    made = Rules(folder)
    try:
        yield made
    finally:
        made.worker.consumer.close()
        made.log.close()
        made.db.close()


def logins() -> list[tuple[int, str]]:
    """Eight days of logins; the gaps of an account lie about the two days that are too long."""
    rng = random.Random(11)
    found = []
    for number in range(ACCOUNTS):
        at = T0 + rng.randrange(HOUR)
        while at < T0 + DAYS * DAY:
            found.append((at, f"a{number}"))
            at += rng.choice([6 * HOUR, DAY, QUIET - HOUR, QUIET + HOUR, 3 * DAY]) + rng.randrange(HOUR // 2)
    return sorted(found)


def absences(sent: list[tuple[int, str]], end: int) -> set[tuple[str, int]]:
    """By definition: (account, deadline) of every login that none followed in time."""
    found = set()
    for at, account in sent:
        later = min((other for other, name in sent if name == account and other > at), default=end)
        if at + QUIET < later:
            found.add((account, at + QUIET))
    return found


@pytest.mark.timeout(120)
def test_a_backlog_gives_what_live_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE_S", 0.0)
    sent, end = logins(), T0 + DAYS * DAY
    with rules(tmp_path / "live") as live:
        for at, account in sent:
            live.post(at, account)
            live.catch_up()
        live.clock.set(end)
        live.catch_up()
        at_once = live.fired()
    # The backlog takes many polls: in between the clock is far beyond the deadlines of what is still unread.
    monkeypatch.setattr(worker, "BATCH", 50)
    with rules(tmp_path / "stopped") as stopped:
        stopped.catch_up()
        for at, account in sent:
            stopped.post(at, account)
        stopped.clock.set(end)
        stopped.catch_up()
        behind = stopped.fired()
    assert behind == at_once
    expected = absences(sent, end)
    assert {(account, at) for account, at in behind.values()} == {
        (account, from_microseconds(at).isoformat().replace("+00:00", "Z")) for account, at in expected
    }
    assert len(expected) > ACCOUNTS
    assert len(sent) > 4 * 50
