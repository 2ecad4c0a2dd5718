"""Rules with `alive` in several partitions and workers, on both stacks: heartbeats are stored, and told to others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, func, select

from backbone import notices
from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import EVENTS, Entry, Log, OffsetOutOfRange, partition_for
from backbone.log.embedded.log import EmbeddedLog
from backbone.settings import load_settings
from deploy.local.process import wait_until
from schemas.event import CLOCK, SOURCE_SEEN, Event, decode, encode, from_microseconds, instant
from schemas.notices import NoticeKind, sentence
from schemas.rule import RuleIn
from services.rules.engine.heartbeats import Heartbeat
from services.rules.silent_notices import SilentNotices
from services.rules.sources import SourceState, heartbeats_of, sources, trouble
from services.rules.storage import queries
from services.rules.storage.ownership import OWNERSHIP
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import outbox, triggers
from services.rules.worker import RulesWorker
from tests.conformance.log.conftest import PARTITIONS, kafka_twin
from tests.migrated import migrated

RULE = {
    "name": "gone", "status": "active", "when": {"absence": {"event": "login", "for": "3d"}},
    "alive": {"event": ["login", "beat"], "within": "12h"},
}  # fmt: skip
BEATS = "beat, login (within 12h)"
OF = {partition_for(name, PARTITIONS): name for name in (f"a{number}" for number in range(40))}
ACME, OTHER, THIRD = OF[0], OF[1], OF[2]


def at(short: str) -> int:
    return instant(f"2026-01-{short}:00Z")


class Rules:
    """Workers in threads, on the log clock."""

    def __init__(self, db: Database, log: Log) -> None:
        self.db, self.log, self.posted = db, log, 0
        self.clock = ManualClock(at("01T00:00"))
        migrated(db)
        self.saver = RuleRepository(db, log, self.clock)
        self.save(RULE)
        self.workers: list[RulesWorker] = []

    def save(self, body: Mapping[str, object]) -> None:
        self.saver.run(lambda conn: self.saver.put(conn, RuleIn.model_validate(body), None, "test"))

    def start(self) -> RulesWorker:
        made = RulesWorker(self.db, self.log, self.clock, clock_mode="log")
        made.start()
        self.workers.append(made)
        return made

    def post(self, account: str, type_: str, *shorts: str) -> None:
        entries = []
        for short in shorts:
            self.posted += 1
            time = from_microseconds(at(short))
            event = Event(type=type_, account=account, id=f"e{self.posted}", source="t", time=time)
            entries.append(Entry(key=account, value=encode(event)))
        self.log.append(EVENTS, entries).result(timeout=30)
        self.settle()

    def until(self, short: str) -> None:
        """Move every partition's clock."""
        self.posted += 1
        event = Event(type=CLOCK, id=f"c{self.posted}", source="t", time=from_microseconds(at(short)))
        entries = [Entry(value=encode(event), partition=number) for number in range(PARTITIONS)]
        self.log.append(EVENTS, entries).result(timeout=30)
        self.settle()

    def settle(self) -> None:
        """Wait until everything is decided and told, and what was told is read."""

        def quiet() -> bool:
            with self.db.read() as conn:
                places = {number: row.next_offset for number, row in OWNERSHIP.positions(conn).items()}
                waiting = conn.scalar(select(func.count()).select_from(outbox))
            failures = [worker.failure for worker in self.workers if worker.failure is not None]
            assert not failures, failures
            return not waiting and places == self.log.end_offsets(EVENTS)

        wait_until("the workers have caught up", quiet, 60)

    def fired(self) -> list[tuple[str, str]]:
        with self.db.read() as conn:
            found = [msgspec.json.decode(doc) for doc in conn.scalars(select(triggers.c.doc))]
        return sorted(((one["account"], one["at"]) for one in found), key=lambda one: one[1])

    def silent(self, short: str) -> list[str]:
        """What `/v1/status` says is silent at this time."""
        with self.db.read() as conn:
            said = trouble(sources(heartbeats_of(conn), at(short))).get("silent", [])
        return [f"{one['event']} {one['within']} {one['since']}" for one in said]

    def told(self) -> list[Event]:
        """The records by which partitions told one another."""
        found = []
        for number, end in self.log.end_offsets(EVENTS).items():
            offset = 0
            with suppress(OffsetOutOfRange):
                while offset < end:
                    records = self.log.read(EVENTS, number, offset, 1_000)
                    found += [decode(one.value, place="x", timestamp=0) for one in records]
                    offset = records[-1].offset + 1
        return [event for event in found if event.type == SOURCE_SEEN]


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def ours(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rules]:
    log: Log
    if request.param == "embedded":
        log, url = EmbeddedLog(tmp_path, PARTITIONS), f"sqlite:///{tmp_path / 'touchline.db'}"
    else:
        url = request.getfixturevalue("fresh_postgres_url")
        log = kafka_twin(request.getfixturevalue("kafka_server").bootstrap_servers).open()
    made = Rules(Database(load_settings(database_url=url).url), log)
    yield made
    for worker in made.workers:
        worker.stop()
    made.log.close()
    made.db.close()


def test_what_another_partition_hears_decides_and_a_silence_holds_back(ours: Rules) -> None:
    first, second = ours.start(), ours.start()
    ours.post(ACME, "login", "01T09:00")
    ours.post(THIRD, "login", "02T09:00")
    ours.post(OTHER, "beat", "01T10:00", "01T18:00")
    for day in ("02", "03"):
        ours.post(OTHER, "beat", *(f"{day}T{hour}" for hour in ("02:00", "10:00", "18:00")))
    ours.post(OTHER, "beat", "04T02:00", "04T10:00")
    ours.until("04T15:00")
    assert ours.fired() == [(ACME, "2026-01-04T09:00:00Z")]
    first.stop()  # its partitions move to the other worker, which finds what is stored
    ours.workers.remove(first)
    ours.until("06T00:00")
    assert ours.silent("06T00:00") == ["['beat', 'login'] 12h 2026-01-04T10:00:00Z"]
    assert ours.silent("04T22:00") == []
    second.stop()
    ours.workers.remove(second)
    ours.start()
    ours.post(OTHER, "beat", "06T10:00")  # two days of silence
    ours.post(OTHER, "beat", "06T20:00", "07T06:00", "07T08:59")
    ours.until("07T09:00")
    assert ours.fired() == [(ACME, "2026-01-04T09:00:00Z")]
    ours.post(OTHER, "beat", "07T12:00")
    assert ours.fired() == [(ACME, "2026-01-04T09:00:00Z"), (THIRD, "2026-01-07T09:00:00Z")]
    told = ours.told()
    assert len(told) % (PARTITIONS - 1) == 0
    assert {tuple(event.data["event"]) for event in told} == {("beat", "login")}


def test_records_told_twice_change_nothing_and_a_rule_that_goes_takes_its_heartbeats_along(
    ours: Rules,
) -> None:
    ours.start()
    ours.post(ACME, "login", "01T09:00")
    ours.post(OTHER, "beat", "01T10:00", "01T18:00")
    with ours.db.read() as conn:
        known = queries.load_heartbeats(conn)
    assert len(known) == PARTITIONS
    again = [
        Entry(value=encode(event), partition=number) for event in ours.told() for number in range(PARTITIONS)
    ]
    ours.log.append(EVENTS, again).result(timeout=30)
    ours.settle()
    with ours.db.read() as conn:
        assert [Heartbeat.restored(one).runs() for _, one in queries.load_heartbeats(conn)] == [
            Heartbeat.restored(one).runs() for _, one in known
        ]
    ours.save({name: value for name, value in RULE.items() if name != "alive"})
    ours.settle()
    with ours.db.read() as conn:
        assert queries.load_heartbeats(conn) == []


def test_backfill_tells_the_others_what_it_found(ours: Rules) -> None:
    ours.save({**RULE, "status": "draft"})
    ours.start()
    ours.post(ACME, "login", "01T09:00")
    ours.post(OTHER, "beat", "01T10:00", "01T20:00", "02T06:00", "02T16:00")
    ours.save({**RULE, "backfill": True})
    ours.settle()
    ours.until("06T00:00")
    assert ours.fired() == []
    assert ours.silent("06T00:00") == ["['beat', 'login'] 12h 2026-01-02T16:00:00Z"]
    ours.post(OTHER, "beat", "06T00:00")  # the deadline moves from the 4th, 09:00, to the 7th, 17:00
    ours.post(OTHER, "beat", "06T12:00", "07T00:00", "07T12:00", "07T16:59")
    ours.until("07T20:00")
    assert ours.fired() == []
    ours.post(OTHER, "beat", "07T21:00")
    assert ours.fired() == [(ACME, "2026-01-07T17:00:00Z")]


def test_people_are_told_once_and_when_it_is_over(ours: Rules) -> None:
    def open_ones() -> list[tuple[str, str]]:
        with ours.db.read() as conn:
            return [(one.object, one.detail) for one in notices.open_notices(conn, NoticeKind.SOURCE_SILENT)]

    now = ManualClock(at("01T20:00"))

    def known(conn: Connection) -> list[SourceState]:
        return list(sources(heartbeats_of(conn), now.now()))

    telling = SilentNotices(ours.db, now.now, known)
    ours.save({**RULE, "name": "another", "status": "paused"})
    ours.start()
    telling.write()
    assert open_ones() == [], "nothing is guarded before the first event"
    ours.post(OTHER, "beat", "01T10:00")
    telling.write()
    assert open_ones() == []
    now.set(at("02T00:00"))
    for _ in range(2):
        telling.write()
        assert open_ones() == [(BEATS, "none since 2026-01-01T10:00:00Z; rules: gone")]
    ours.post(OTHER, "beat", "02T00:00")
    telling.write()
    assert open_ones() == []


def test_one_source_of_many_rules_is_told_of_once(ours: Rules) -> None:
    def told() -> list[tuple[str, str]]:
        with ours.db.read() as conn:
            return [(one.object, one.detail) for one in notices.open_notices(conn, NoticeKind.SOURCE_SILENT)]

    telling = SilentNotices(ours.db, lambda: at("03T00:00"), _silent_sources)
    ours.save({**RULE, "name": "also"})
    ours.save({**RULE, "name": "later", "alive": {"event": ["login", "beat"], "within": "24h"}})
    ours.start()
    ours.post(OTHER, "beat", "01T10:00")
    telling.write()
    detail = "none since 2026-01-01T10:00:00Z; rules: "
    assert told() == [(BEATS, f"{detail}also, gone"), ("beat, login (within 1d)", f"{detail}later")]
    for name in ("gone", "also"):
        ours.save({**RULE, "name": name, "status": "paused"})
    telling.write()
    assert told() == [("beat, login (within 1d)", f"{detail}later")]
    over = sentence(NoticeKind.SOURCE_SILENT, BEATS, over=True)
    assert over.endswith("is heard again, or no rule in force listens to it any more")


def _silent_sources(conn: Connection) -> list[SourceState]:
    return list(sources(heartbeats_of(conn), at("03T00:00")))
