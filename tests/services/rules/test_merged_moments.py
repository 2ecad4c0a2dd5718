"""Absences of accounts that took others in: what was posted for those before the deadline counts, if it comes late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import EVENTS, Entry
from backbone.log.embedded.log import EmbeddedLog
from schemas.event import Event, encode, from_microseconds, instant
from schemas.rule import RuleIn
from services.rules import worker
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import triggers
from services.rules.worker import RulesWorker
from tests.migrated import migrated

T0 = 1_790_000_000_000_000
MINUTE = 60_000_000
A, B, C = "a", "globex", "d"  # partitions 0, 1, 1
RULE = {"name": "gone", "status": "active", "when": {"absence": {"event": "login", "for": "1h"}}}


class Hours:
    """A rules worker by the wall clock, which a test moves; a is merged into globex, d stands alone."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(T0)
        self.db = Database(f"sqlite:///{folder / 'x.db'}")
        migrated(self.db)
        self.log = EmbeddedLog(folder, 2, now=self.clock.now)
        saver = RuleRepository(self.db, self.log, self.clock)
        saver.run(lambda conn: saver.create(conn, RuleIn.model_validate(RULE), "test"))
        self.worker = RulesWorker(self.db, self.log, self.clock, clock_mode="wall")
        self.worker.join()
        self.posted = 0
        self.post(0, B, "login")
        self.post(0, C, "login")
        self.post(0, A, "account.merged", into=B)
        self.work()

    def post(self, minute: int, account: str, type_: str, **data: str) -> None:
        """It is posted, and happens, at this minute."""
        self.clock.set(T0 + minute * MINUTE)
        self.posted += 1
        time = from_microseconds(self.clock.now())
        event = Event(type=type_, account=account, id=f"e{self.posted}", source="t", time=time, data=data)
        self.log.append(EVENTS, [Entry(key=account, value=encode(event))]).result(timeout=10)

    def work(self, minute: int | None = None) -> None:
        if minute is not None:
            self.clock.set(T0 + minute * MINUTE)
        for _ in range(12):
            self.worker.run_once()

    def fired(self) -> list[tuple[str, int]]:
        with self.db.read() as conn:
            found = [msgspec.json.decode(doc) for doc in conn.scalars(select(triggers.c.doc))]
        return sorted((one["account"], (instant(one["at"]) - T0) // MINUTE) for one in found)


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hours]:
    monkeypatch.setattr(worker, "IDLE_S", 0.01)
    made = Hours(tmp_path)
    yield made
    made.worker.stop()
    made.log.close()
    made.db.close()


def test_what_waits_unread_for_a_merged_account_counts(ours: Hours) -> None:
    """Nobody works for two hours: the login that came in between is read when the deadline is long past."""
    ours.post(50, A, "login")
    ours.work(120)
    assert ours.fired() == [(C, 60), (B, 110)]


def test_without_lag_it_fires_in_time(ours: Hours) -> None:
    ours.work(59)
    assert ours.fired() == []
    ours.work(61)
    assert ours.fired() == [(C, 60), (B, 60)]


def test_a_partition_that_lags_holds_up_those_only_whom_it_may_concern(ours: Hours) -> None:
    ours.worker.consumer.pause(EVENTS, 0)
    ours.post(50, A, "login")
    ours.work(90)
    assert ours.fired() == [(C, 60)]
    ours.post(95, C, "login")
    ours.worker.consumer.resume(EVENTS, 0)
    ours.work(96)
    assert ours.fired() == [(C, 60)]
    ours.work(111)
    assert ours.fired() == [(C, 60), (B, 110)]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_moment_that_waited_is_decided_as_if_it_had_not(ours: Hours, restarts: bool) -> None:
    """A login after the deadline, read before the moment could run, does not undo it."""
    ours.worker.consumer.pause(EVENTS, 0)
    ours.post(30, A, "other")
    ours.work(62)
    ours.post(63, B, "login")
    ours.work(64)
    assert ours.fired() == [(C, 60)]
    if restarts:
        ours.worker.restart()
    else:
        ours.worker.consumer.resume(EVENTS, 0)
    ours.work(65)
    assert ours.fired() == [(C, 60), (B, 60)]
