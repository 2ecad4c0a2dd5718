"""Merged accounts on both databases: the outbox, crashes around it, rows, lists and erasure."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import DEAD_LETTERS, EVENTS, TRIGGERS, Entry
from backbone.log.embedded.log import EmbeddedLog
from backbone.settings import load_settings
from schemas.event import Event, decode, encode, from_microseconds
from schemas.rule import RuleIn
from schemas.trigger import TriggerRecord
from services.rules import outbox_relay
from services.rules.storage import queries
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import accounts, erased, outbox, triggers
from services.rules.worker import RulesWorker
from tests.migrated import migrated

relay_told = msgspec.json.Decoder(TriggerRecord).decode
T0 = 1_790_000_000_000_000
MINUTE = 60_000_000
A, B, C = "a", "globex", "d"  # partitions 0, 1, 1
RULE = {
    "name": "three", "status": "active",
    "when": {"threshold": {"event": "login", "within": "1d", "at_least": 3}},
}  # fmt: skip


class Merges:
    """A rules worker driven by hand."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db, self.log, self.clock = db, EmbeddedLog(folder, 2), ManualClock(T0)
        saver = RuleRepository(db, self.log, self.clock)
        saver.run(lambda conn: saver.create(conn, RuleIn.model_validate(RULE), "test"))
        self.posted = 0
        self.worker = self.start()

    def start(self) -> RulesWorker:
        worker = RulesWorker(self.db, self.log, self.clock, clock_mode="log")
        worker.join()
        return worker

    def die(self) -> None:
        """As if killed: what was in memory is gone, and another takes over."""
        self.worker.restart()

    def post(self, *events: tuple[str, str] | Event) -> None:
        """(account, type) in one batch; an event as it is."""
        entries = []
        for one in events:
            self.posted += 1
            if isinstance(one, Event):
                event = one
            else:
                account, type_ = one
                event = Event(type=type_, account=account, id=f"e{self.posted}", source="t")
            event.time = event.time or from_microseconds(T0 + self.posted * MINUTE)
            entries.append(Entry(key=event.account, value=encode(event)))
        self.log.append(EVENTS, entries).result(timeout=10)

    def merge(self, account: str, into: str, **data: Any) -> None:
        event = Event(
            type="account.merged", account=account, id=f"m-{account}-{into}", data={"into": into, **data}
        )
        self.post(event)

    def catch_up(self) -> None:
        for _ in range(1_000):
            self.worker.run_once()
            tasks, ends = self.worker.tasks, self.log.end_offsets(EVENTS)
            rest = tasks and all(tasks[p].reported == end and not tasks[p].dirty for p, end in ends.items())
            if rest and not self.worker._relay.waiting:
                return
        raise AssertionError("it never comes to rest")

    def events(self, account: str) -> list[Event]:
        found = [
            decode(record.value, place="", timestamp=0)
            for p in range(2)
            for record in self.log.read(EVENTS, p, 0, 10_000)
        ]
        return [event for event in found if event.account == account]

    def fired(self) -> list[str]:
        with self.db.read() as conn:
            return list(conn.scalars(select(triggers.c.account).order_by(triggers.c.seq)))

    def rows(self) -> dict[str, str | None]:
        with self.db.read() as conn:
            return {row.account: row.merged_into for row in conn.execute(select(accounts))}

    def waiting(self) -> int:
        with self.db.read() as conn:
            return queries.count_outgoing(conn)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ours(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Merges]:
    sqlite = request.param == "sqlite"
    given = f"sqlite:///{tmp_path / 'x.db'}" if sqlite else request.getfixturevalue("fresh_postgres_url")
    db = Database(load_settings(database_url=given).url)
    migrated(db)
    made = Merges(db, tmp_path)
    yield made
    made.worker.stop()
    made.log.close()
    db.close()


def test_events_of_a_closed_account_count_for_the_other_in_another_partition(ours: Merges) -> None:
    ours.post((A, "login"), (B, "login"))
    ours.merge(A, B)
    ours.post((A, "login"), (A, "login"))
    ours.catch_up()
    assert ours.rows() == {A: B, B: None}
    assert ours.fired() == [B]
    assert [e.mergedfrom for e in ours.events(B) if e.type == "login"] == [None, A, A]
    assert ours.waiting() == 0
    with ours.db.read() as conn:
        assert conn.execute(select(accounts.c.due_at).where(accounts.c.account == A)).scalar_one() is None


@pytest.mark.parametrize("lost", ["before the append", "before the mark"])
def test_a_crash_around_the_outbox_loses_and_doubles_nothing(
    ours: Merges, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    ours.post((B, "login"))
    ours.catch_up()
    ours.merge(A, B)
    ours.post((A, "login"))

    class Killed(Exception):
        pass

    def killed(*_: object) -> None:
        raise Killed

    name = "_append" if lost == "before the append" else "_arrived"
    monkeypatch.setattr(outbox_relay.OutboxRelay, name, killed)
    with pytest.raises(Killed):
        ours.catch_up()
    monkeypatch.undo()
    assert ours.waiting() >= 3  # closed, taken in, the login
    ours.die()
    ours.catch_up()
    assert ours.waiting() == 0
    assert len([e for e in ours.events(B) if e.mergedfrom]) == (1 if lost == "before the append" else 2)
    assert ours.fired() == []
    ours.post((A, "login"))
    ours.catch_up()
    assert ours.fired() == [B]


def test_what_waits_in_both_outboxes_goes_out_in_the_order_decided(
    ours: Merges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triggers before a merge, the merge, triggers behind it: whoever reads them must not take any for a repeat."""
    monkeypatch.setattr(outbox_relay, "PAGE", 2)
    monkeypatch.setattr(outbox_relay.OutboxRelay, "flush", lambda *_: None)
    for n in range(5):
        ours.post(*[(f"a{n}", "login")] * 3, *[(f"b{n}", "login")] * 3)
        ours.merge(f"a{n}", C)
        ours.post((f"a{n}", "login"))
    for _ in range(10):
        ours.worker.run_once()
    monkeypatch.undo()
    monkeypatch.setattr(outbox_relay, "PAGE", 2)
    assert ours.waiting() == 15
    ours.die()
    ours.catch_up()
    for partition in range(2):
        records = [relay_told(record.value) for record in ours.log.read(TRIGGERS, partition, 0, 1_000)]
        decided = [one.trigger or one.moved for one in records if one.trigger or one.moved]
        places = [one.position.offset for one in decided if one is not None]
        assert places == sorted(places)
        assert {type(one).__name__ for one in decided} == {"Trigger", "Moved"}
    assert ours.waiting() == 0
    assert sorted(ours.fired()) == sorted([f"{x}{n}" for n in range(5) for x in "ab"] + [C])


def test_refusals_are_dead_letters_with_their_reason(ours: Merges) -> None:
    ours.merge(A, A)
    ours.merge(A, "x" * 300)
    ours.post((B, "login"), (B, "account.deleted"))
    ours.catch_up()
    ours.merge(A, B)
    ours.catch_up()
    letters = [dict(r.headers)["error"].decode() for p in range(2) for r in ours.log.read(DEAD_LETTERS, p, 0)]
    assert sorted(letters) == [
        "'globex' was erased",
        "data.into: should be the name of another account",
        "data.into: should be the name of another account",
    ]
    assert ours.rows() == {}


def test_an_erasure_goes_along_and_nothing_makes_the_account_anew(ours: Merges) -> None:
    ours.post((A, "login"), (A, "login"), (A, "login"))
    ours.merge(A, B)
    ours.catch_up()
    assert ours.fired() == [A]
    ours.post((A, "login"), (B, "account.deleted"))
    ours.catch_up()
    assert ours.rows() == {}
    assert ours.fired() == []
    with ours.db.read() as conn:
        assert len(list(conn.scalars(select(erased.c.account)))) == 2
        assert list(conn.execute(select(outbox))) == []
    ours.post((A, "login"))
    ours.catch_up()
    assert ours.rows() == {A: None}


def test_merging_and_erasing_at_once_erases_both(ours: Merges) -> None:
    """The merge waits to be told to an account that is erased by then."""
    ours.post((B, "login"))
    ours.catch_up()
    ours.merge(A, B)
    ours.post((B, "account.deleted"))  # read before anything of the merge comes
    ours.catch_up()
    assert ours.rows() == {}


def test_states_of_closed_accounts_survive_a_restart(ours: Merges) -> None:
    ours.merge(A, B)
    ours.catch_up()
    ours.die()
    ours.post((A, "login"), Event(type="login", account=A, id="same", source="t"))
    ours.catch_up()
    ours.die()
    ours.post(Event(type="login", account=A, id="same", source="t"))
    ours.catch_up()
    assert len([e for e in ours.events(B) if e.type == "login"]) == 2


def test_rules_is_not_past_what_others_have_not_got(ours: Merges, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads that rules is past an event may rely on it: what it led to for others is on the log."""
    append, held = ours.log.append, list[Future[list[tuple[int, int]]]]()

    def slow(topic: str, entries: Any, *, after: Any = None) -> Any:
        if topic == EVENTS:
            held.append(Future())
            return held[-1]
        return append(topic, entries, after=after)

    ours.catch_up()
    ours.merge(A, B)
    ours.post((A, "login"))
    end = ours.log.end_offsets(EVENTS)[0]
    monkeypatch.setattr(ours.log, "append", slow)
    for _ in range(5):
        ours.worker.run_once()
    records = [relay_told(record.value) for record in ours.log.read(TRIGGERS, 0, 0, 1_000)]
    assert records[-1].moved is not None  # that is told, and no more
    assert max(one.progress.offset for one in records if one.progress is not None) < end
    assert ours.waiting() == 3
    monkeypatch.undo()
    held[0].set_result([(1, 0), (1, 1)])
    for _ in range(5):
        ours.worker.run_once()
    last = relay_told(ours.log.read(TRIGGERS, 0, 0, 1_000)[-1].value)
    assert last.progress is not None
    assert last.progress.offset == end
    assert ours.waiting() == 0


def test_an_event_of_another_program_without_id_and_time_is_sent_on_once_and_as_it_was(ours: Merges) -> None:
    ours.merge(A, B)
    ours.log.append(EVENTS, [Entry(key=A, value=b'{"type": "login", "account": "a"}')]).result(10)
    ours.catch_up()
    ours.die()
    ours.catch_up()
    (record,) = [r for r in ours.log.read(EVENTS, 0, 0, 100) if r.value.startswith(b'{"type": "login"')]
    (sent,) = [event for event in ours.events(B) if event.type == "login"]
    assert sent.id == f"touchline.events/0/{record.offset}"
    assert sent.time == from_microseconds(record.timestamp)
