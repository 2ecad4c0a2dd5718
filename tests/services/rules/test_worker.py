"""The rules worker writes a batch while it judges the next one: what it stores does not depend on that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select, update

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import EVENTS, TRIGGERS, Entry, LogUnavailable, OffsetOutOfRange
from backbone.log.embedded.chunk_store import Chunk
from backbone.log.embedded.log import EmbeddedLog
from backbone.ownership import Fenced
from schemas.event import Event, encode, from_microseconds
from schemas.rule import RuleIn
from schemas.trigger import TriggerRecord
from services.rules import worker
from services.rules.storage.account_cache import BARE_STATE
from services.rules.storage.rule_repository import RuleRepository
from services.rules.storage.write_set import WriteSet
from services.rules.tables import accounts, partitions, triggers
from services.rules.worker import RulesWorker
from tests.migrated import migrated

_told = msgspec.json.Decoder(TriggerRecord).decode
T0 = 1_790_000_000_000_000
MINUTE = 60_000_000
RULE = {
    "name": "busy", "status": "active",
    "when": {"threshold": {"event": "login", "within": "1d", "at_least": 3}},
}  # fmt: skip


class Rules:
    """A rules worker driven by hand."""

    def __init__(self, folder: Path, cache: int) -> None:
        folder.mkdir()
        self.db = Database(f"sqlite:///{folder / 'touchline.db'}")
        migrated(self.db)
        self.log = EmbeddedLog(folder, 2)
        saver = self.saver = RuleRepository(self.db, self.log, ManualClock(T0))
        saver.run(lambda conn: saver.create(conn, RuleIn.model_validate(RULE), "test"))
        self.worker = RulesWorker(self.db, self.log, ManualClock(T0), clock_mode="log", cache=cache)
        self.worker.join()
        self.posted = 0

    def post(self, count: int, type_: str = "login", account: str | None = None) -> None:
        """Events of seven accounts in turn, or of one."""
        entries = []
        for _ in range(count):
            self.posted += 1
            name = account or f"a{self.posted % 7}"
            event = Event(
                id=f"e{self.posted}", source="t", type=type_, account=name,
                time=from_microseconds(T0 + self.posted * MINUTE),
            )  # fmt: skip
            entries.append(Entry(key=name, value=encode(event)))
        self.log.append(EVENTS, entries).result(timeout=10)

    def catch_up(self) -> None:
        """Until all is decided and told."""
        for _ in range(1_000):
            self.worker.run_once()
            tasks = self.worker.tasks
            ends = self.log.end_offsets(EVENTS)
            if tasks and all(tasks[p].reported == end and not tasks[p].dirty for p, end in ends.items()):
                return
        raise AssertionError("it never comes to rest")

    def stored(self) -> tuple[dict[str, bytes], list[bytes]]:
        """States by account, and triggers."""
        with self.db.read() as conn:
            states = {
                row.account: row.state for row in conn.execute(select(accounts.c.account, accounts.c.state))
            }
            return states, sorted(conn.scalars(select(triggers.c.doc)))


@contextmanager
def rules(folder: Path, cache: int = worker.CACHE) -> Iterator[Rules]:
    made = Rules(folder, cache)
    try:
        yield made
    finally:
        made.worker.stop()
        made.log.close()
        made.db.close()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Every batch is written beside the next one, and no sooner than the event is set."""
    go = threading.Event()
    save = WriteSet.save

    def wait(self: WriteSet, conn: object) -> None:
        assert go.wait(30)
        save(self, conn)  # type: ignore[arg-type]

    monkeypatch.setattr(WriteSet, "save", wait)
    monkeypatch.setattr(worker, "BESIDE", 1)
    yield go
    go.set()


def test_the_next_batch_is_judged_while_one_is_written(tmp_path: Path, held: threading.Event) -> None:
    with rules(tmp_path / "beside") as ours:
        held.set()
        ours.catch_up()
        held.clear()
        ours.post(50)
        ours.worker.run_once()
        assert ours.worker._under_way is not None
        assert ours.stored() == ({}, [])
        held.set()
        for _ in range(5):
            ours.post(50)
            ours.worker.run_once()
        ours.catch_up()
        beside = ours.stored()
        told = [r.value for p in range(2) for r in ours.log.read(TRIGGERS, p, 0, 1_000)]
    with rules(tmp_path / "after") as theirs:
        theirs.post(300)
        theirs.catch_up()
        assert theirs.stored() == beside
    assert len(beside[0]) == 7
    assert sum(b'{"trigger"' in value for value in told) == len(beside[1]) > 0


@pytest.mark.parametrize("beside", [1, worker.BESIDE])
def test_states_that_leave_the_memory_come_back_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: int
) -> None:
    monkeypatch.setattr(worker, "BESIDE", beside)
    room = 2 * (BARE_STATE + 20_000)  # for one or two of the accounts of each partition
    with rules(tmp_path / "little", cache=room) as ours:
        for count in (1, 2, 3, 5, 1, 8, 20, 1, 1, 60, 200):
            ours.post(count)
            ours.worker.run_once()
        ours.catch_up()
        little = ours.stored()
        held = [task._accounts for task in ours.worker.tasks.values()]
        assert 0 < sum(len(one._states) for one in held) < len(little[0])
        assert all(one._taken == sum(one._sizes.values()) <= room // 2 for one in held)
    with rules(tmp_path / "plenty") as theirs:
        theirs.post(302)
        theirs.catch_up()
        assert theirs.stored() == little
        assert sum(len(s._accounts._states) for s in theirs.worker.tasks.values()) == len(little[0])
    assert len(little[0]) == 7
    assert little[1]


def test_an_account_erased_in_the_batch_being_written_begins_anew(
    tmp_path: Path, held: threading.Event
) -> None:
    with rules(tmp_path / "beside") as ours:
        held.set()
        ours.post(2, account="a1")
        ours.catch_up()
        held.clear()
        ours.post(1, type_="account.deleted", account="a1")
        ours.worker.run_once()
        assert ours.worker._under_way is not None
        ours.post(2, account="a1")
        threading.Timer(0.2, held.set).start()  # while the second batch is judged, or after
        ours.catch_up()
        assert ours.stored()[1] == []  # two logins, not four
        ours.post(1, account="a1")
        ours.catch_up()
        assert len(ours.stored()[1]) == 1


def test_a_fenced_batch_takes_the_one_behind_it_along(tmp_path: Path, held: threading.Event) -> None:
    with rules(tmp_path / "beside") as ours:
        held.set()
        ours.post(10)
        ours.catch_up()
        before = ours.stored()
        with ours.db.write() as conn:  # another owner
            conn.execute(update(partitions).values(epoch=partitions.c.epoch + 1))
        held.clear()
        ours.post(50)
        ours.worker.run_once()
        ours.post(50)
        threading.Timer(0.2, held.set).start()
        with pytest.raises(Fenced):
            ours.worker.run_once()
        assert ours.stored() == before
        ours.worker.restart()
        ours.catch_up()
        after = ours.stored()
    with rules(tmp_path / "straight") as theirs:
        theirs.post(110)
        theirs.catch_up()
        assert theirs.stored() == after


def test_nothing_is_told_past_a_trigger_that_was_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log loses an append of triggers while the worker judges the next batch."""
    with rules(tmp_path / "lost") as ours:
        ours.post(4)
        ours.catch_up()
        write, lost = ours.log._store.write, []

        def lose(chunks: list[Chunk]) -> None:
            if not lost and any(b'{"trigger"' in entry.value for c in chunks for entry in c.entries):
                lost.append(chunks)
                raise LogUnavailable("the disk is full")
            write(chunks)

        monkeypatch.setattr(ours.log._store, "write", lose)
        ours.post(70)
        ours.worker.run_once()
        (sent,) = ours.worker._relay._sent
        assert isinstance(sent.done.exception(10), LogUnavailable)
        ours.post(70)
        with pytest.raises(LogUnavailable):
            ours.worker.run_once()
        ours.worker.restart()
        ours.catch_up()
        told = [r.value for p in range(2) for r in ours.log.read(TRIGGERS, p, 0, 10_000)]
        assert len({record.trigger.id for record in map(_told, told) if record.trigger}) == 7
    past = {0: 0, 1: 0}
    for record in map(_told, told):
        if record.progress is not None:
            past[record.progress.partition] = max(past[record.progress.partition], record.progress.offset)
        elif record.trigger is not None:
            position = record.trigger.position
            assert position.offset >= past[position.partition]  # else its readers take it for a repeat


def test_a_partition_whose_events_were_deleted_unread_stops_alone(tmp_path: Path) -> None:
    with rules(tmp_path / "gap") as ours:
        ours.post(70)
        ours.catch_up()
        before = ours.log.end_offsets(EVENTS)
        lost, fine = 0, 1
        with ours.db.write() as conn:
            conn.execute(update(partitions).where(partitions.c.partition == lost).values(next_offset=10**6))
        ours.worker.restart()
        ours.post(70)
        after = ours.log.end_offsets(EVENTS)
        assert all(after[p] > before[p] for p in (lost, fine))
        for _ in range(1_000):
            ours.worker.run_once()
            if ours.worker.halted and ours.worker.tasks[fine].reported == after[fine]:
                break
        assert set(ours.worker.halted) == {(EVENTS, lost)}
        failure: object = ours.worker.failure
        assert isinstance(failure, OffsetOutOfRange)  # so it is not ready
        with ours.db.read() as conn:
            places = {row.partition: row.next_offset for row in conn.execute(select(partitions))}
        assert places == {lost: 10**6, fine: after[fine]}
        with ours.db.write() as conn:  # mended by hand
            conn.execute(
                update(partitions).where(partitions.c.partition == lost).values(next_offset=before[lost])
            )
        ours.worker.restart()
        ours.catch_up()
        assert (ours.worker.halted, ours.worker.failure) == ({}, None)


def test_a_worker_that_fails_lets_its_partitions_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way raises the same again when it leaves."""
    with rules(tmp_path / "failed") as ours:

        def broken(*_: object) -> None:
            raise RuntimeError("no such thing")

        ours.post(70)
        monkeypatch.setattr(ours.worker, "_finish", broken)
        monkeypatch.setattr(ours.worker._relay, "flush", broken)
        with pytest.raises(RuntimeError):
            ours.catch_up()
        with pytest.raises(RuntimeError):
            ours.worker._leave()
        monkeypatch.undo()
        other = RulesWorker(ours.db, ours.log, ManualClock(T0), clock_mode="log", cache=100)
        other.join()
        for _ in range(20):
            other.run_once()
            if len(other.tasks) == 2:
                break
        assert sorted(other.tasks) == [0, 1]
        other.stop()


def test_a_machine_at_its_limits_stops_the_worker_for_a_while_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rules(tmp_path / "limits") as ours:
        failed = threading.Event()
        run_once = ours.worker.run_once

        def once() -> None:
            if not failed.is_set():
                failed.set()
                raise OSError(24, "Too many open files")
            run_once()
            if ours.stored()[1]:
                ours.worker._stopping.set()

        ours.post(3, account="a1")
        monkeypatch.setattr(ours.worker, "run_once", once)
        ours.worker._run()
        assert ours.worker.failure is None
