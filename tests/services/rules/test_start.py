"""A start by hand happens once, whichever way its record and its answer are lost, on both stacks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from backbone.audit import AuditTrail
from backbone.clock import ManualClock
from backbone.database import Database
from backbone.errors import Unavailable
from backbone.log import EVENTS, Entry, Log
from backbone.log.embedded.log import EmbeddedLog
from backbone.ownership import Fenced
from backbone.web.idempotency import Idempotency
from schemas.event import RULES_START, Event, encode, from_microseconds
from schemas.rule import RuleIn
from schemas.start import StartIn
from services.rules.api import start as starting
from services.rules.api.matches import Matches
from services.rules.api.start import StartsByHand
from services.rules.storage.ownership import OWNERSHIP
from services.rules.storage.rule_repository import RuleRepository
from services.rules.storage.starts import KEPT_US
from services.rules.storage.write_set import WriteSet
from services.rules.tables import start_parts, starts, triggers
from services.rules.worker import RulesWorker
from tests.conformance.log.conftest import kafka_twin
from tests.migrated import migrated

T0 = 1_790_000_000_000_000
PARTITIONS, NAMES = 3, [f"a{n}" for n in range(8)]
RULE = {
    "name": "hand", "status": "active", "cooldown": "0s",
    "when": {"threshold": {"event": "login", "within": "1d", "at_least": 2}},
}  # fmt: skip


class Hand:
    """A rules worker in a thread, and the API beside it."""

    def __init__(self, db: Database, log: Log) -> None:
        self.db, self.log, self.clock = db, log, ManualClock(T0)
        migrated(db)
        saver = RuleRepository(db, log, self.clock)
        saver.run(lambda conn: saver.create(conn, RuleIn.model_validate(RULE), "test"))
        self.starts = StartsByHand(db, log, self.clock, Matches(db, self.clock, wall=False))
        events = [
            Event(id=f"{name}-{n}", source="t", type="login", account=name, historical=True,
                  time=from_microseconds(T0 + n))
            for name in NAMES for n in range(2)
        ]  # fmt: skip
        log.append(EVENTS, [Entry(key=one.account, value=encode(one)) for one in events]).result(timeout=30)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        worker = RulesWorker(self.db, self.log, self.clock, clock_mode="log")
        worker.join()
        while not self._stop.is_set():
            try:
                worker.run_once()
            except Fenced:
                worker.stop()
                worker = RulesWorker(self.db, self.log, self.clock, clock_mode="log")
                worker.join()
        worker.stop()

    def run(self) -> None:
        self._thread.start()

    def settled(self) -> None:
        """Wait until everything has been read."""
        ends = self.log.end_offsets(EVENTS)
        for _ in range(3_000):
            with self.db.read() as conn:
                places = OWNERSHIP.positions(conn)
            if all(p in places and places[p].next_offset >= end for p, end in ends.items()):
                return
            self._stop.wait(0.01)
        raise AssertionError("it never comes to rest")

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(30)
        self.log.close()
        self.db.close()

    def start(self, key: str, **body: Any) -> dict[str, Any]:
        asked = StartIn.model_validate({"subjects": [{"account": name} for name in NAMES], **body})
        once = Idempotency(key, "Bearer tl_x", repr(body).encode())
        return self.starts.start("hand", asked, once, AuditTrail(self.clock, "rules", "jo", "POST"))

    def triggers(self) -> list[str]:
        with self.db.read() as conn:
            return sorted(conn.scalars(select(triggers.c.id).order_by(triggers.c.id)))


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def hand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hand]:
    if request.param == "embedded":
        made = Hand(Database(f"sqlite:///{tmp_path / 'touchline.db'}"), EmbeddedLog(tmp_path, PARTITIONS))
    else:
        make: Callable[[], str] = request.getfixturevalue("new_database")
        twin = kafka_twin(request.getfixturevalue("kafka_server").bootstrap_servers)
        made = Hand(Database(make().replace("postgresql://", "postgresql+psycopg://")), twin.open(PARTITIONS))
    yield made
    made.close()


def ids(answer: dict[str, Any]) -> list[str]:
    return sorted(one["id"] for one in answer["triggers"])


def test_one_trigger_a_subject_and_request_whatever_is_lost(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first commits of a decision fail, records are doubled, and the answer is asked for again."""
    save, failed = WriteSet.save, [0]

    def failing(self: WriteSet, conn: Connection) -> None:
        save(self, conn)
        if self.started and failed[0] < 2:
            failed[0] += 1
            raise Fenced("as if somebody had claimed the partition")

    monkeypatch.setattr(WriteSet, "save", failing)
    monkeypatch.setattr(starting, "WAIT_S", 30.0)
    hand.run()
    hand.settled()
    first = hand.start("one")
    assert failed == [2]
    assert sorted(one["account"] for one in first["triggers"]) == NAMES
    with hand.db.read() as conn:
        [request] = conn.scalars(select(starts.c.id))
    again = Event(type=RULES_START, id="x", source="x", time=from_microseconds(T0), data={"start": request})
    unknown = Event(
        type=RULES_START, id="y", source="x", time=from_microseconds(T0), data={"start": "nobody"}
    )
    odd = Event(type=RULES_START, id="z", source="x", time=from_microseconds(T0), data=["odd"])
    entries = [
        Entry(value=encode(one), partition=p) for one in (again, unknown, odd) for p in range(PARTITIONS)
    ]
    hand.log.append(EVENTS, entries).result(timeout=30)
    hand.settled()
    assert ids(hand.start("one")) == hand.triggers() == ids(first)
    second = hand.start("two", subjects="matching", limit=3)
    assert len(set(ids(second)) - set(ids(first))) == 3
    assert hand.triggers() == sorted([*ids(first), *ids(second)])


def test_what_is_not_decided_in_time_is_asked_for_again(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "WAIT_S", 0.2)
    for _ in range(2):
        with pytest.raises(Unavailable, match="same Idempotency-Key"):
            hand.start("slow")
    monkeypatch.setattr(starting, "WAIT_S", 30.0)
    hand.run()
    assert len(ids(hand.start("slow"))) == len(NAMES)
    hand.settled()
    assert hand.triggers() == ids(hand.start("slow"))


def test_requests_leave_after_a_day(hand: Hand) -> None:
    hand.run()
    hand.start("old", subjects=[{"account": "a1"}])
    hand.clock.set(T0 + KEPT_US)
    hand.starts.prune()
    with hand.db.read() as conn:
        assert conn.execute(select(starts)).all() != []
        assert {part.subjects for part in conn.execute(select(start_parts))} == {b"[]"}
    hand.clock.set(T0 + KEPT_US + 1)
    hand.starts.prune()
    with hand.db.read() as conn:
        assert conn.execute(select(starts)).all() == conn.execute(select(start_parts)).all() == []
    assert len(hand.triggers()) == 1
