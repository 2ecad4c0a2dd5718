"""The history checker, held against what it is there to find: losses, doublings and differences made by hand."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backbone.database import Database
from backbone.log import EVENTS, TRIGGERS, Entry, Log, open_log, partition_for
from backbone.settings import load_settings
from schemas.event import Event, encode
from schemas.trigger import Progress, TriggerRecord
from tests.e2e.faults import END
from tests.e2e.history import check
from tests.e2e.server import running
from tests.e2e.sinks import Arrived, sinks
from tests.e2e.topics import records
from tests.e2e.workload import START, batches, configure, events, post

EVENTS_SENT, ACCOUNTS = 700, 60
SETTINGS = {"CLOCK": "log", "PARTITIONS": "3", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@dataclass
class Past:
    """What a calm run left: its data folder, what was acknowledged, and what arrived."""

    folder: Path
    acknowledged: set[tuple[str, str]]
    came: Arrived

    def arrived(self) -> Arrived:
        """As the sinks say it."""
        return self.came


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Past:
    folder = tmp_path_factory.mktemp("calm")
    acknowledged: set[tuple[str, str]] = set()
    with sinks() as sink:
        with running(folder, **SETTINGS, SMTP_URL=sink.smtp_url) as server, server.client() as client:
            configure(client, sink.hook_url, ACCOUNTS)
            for batch in batches(events(8, EVENTS_SENT, range(ACCOUNTS))):
                post(client, batch)
                acknowledged |= {(event["account"], event["id"]) for event in batch}
            client.post("/v1/clock", json={"time": END.isoformat()}).raise_for_status()
            server.settle()
        return Past(folder / "data", acknowledged, sink.arrived())


@pytest.fixture
def past(calm: Past, tmp_path: Path) -> Past:
    """A copy, to be tampered with."""
    folder = tmp_path / "data"
    shutil.copytree(calm.folder, folder)
    came = replace(calm.came, counts=Counter(calm.came.counts), said=dict(calm.came.said), unlike=[])
    return Past(folder, set(calm.acknowledged), came)


@dataclass
class Open:
    """The log and the tables of a past."""

    past: Past
    log: Log
    db: Database

    def sql(self, statement: str) -> None:
        """One statement that changes exactly one row."""
        with self.db.write() as conn:
            assert conn.exec_driver_sql(statement).rowcount == 1, statement

    def append(self, topic: str, value: bytes, account: str, partition: int | None = None) -> None:
        self.log.append(topic, [Entry(key=account, value=value, partition=partition)]).result(10)

    def told(self) -> TriggerRecord:
        """A trigger on the topic."""
        found = (
            msgspec.json.decode(record.value, type=TriggerRecord)
            for partition in range(self.log.partitions)
            for record in records(self.log, TRIGGERS, partition)
        )
        return next(record for record in found if record.trigger is not None)


@pytest.fixture
def opened(past: Past) -> Iterator[Open]:
    settings = load_settings(data_dir=str(past.folder), clock="log", partitions=3)
    log, db = open_log(settings), Database(settings.url)
    yield Open(past, log, db)
    log.close()
    db.close()


def hold(one: Open, kills: int = 0) -> Any:
    return check(one.log, one.db, one.past.acknowledged, one.past, kills)


def test_a_calm_run_passes(opened: Open) -> None:
    report = hold(opened)
    assert (report.acknowledged, report.told_again, report.sink_repeats) == (EVENTS_SENT, 0, 0)
    assert report.triggers > 50


FIRST = "seq = (SELECT min(seq) FROM actions_{0} WHERE {1})"
MAIL = FIRST.format("actions", "channel = 'email' AND status = 'done'")
CLOSED = FIRST.format("tasks", "status = 'closed'")
TRIED = "action = (SELECT min(action) FROM actions_attempts)"
TASK = (
    "play, playbook, step, account, contact, title, body, assignee, reassigned, priority, key, status, reason, due_at,"
    " snoozed_until, created_at, completed_at"
)
TAMPERED = [
    ("DELETE FROM rules_triggers WHERE seq = 1", "triggers: .* 1 lost"),
    (
        "UPDATE rules_triggers SET doc = replace(doc, '\"value\":', '\"value\":1') WHERE seq = 1",
        "triggers: .* 1 unlike",
    ),
    ("DELETE FROM actions_plays WHERE seq = 1", "plays: .* 1 lost"),
    ("UPDATE actions_plays SET step = 'x' WHERE seq = 1", "plays: .* 1 unlike"),
    ("DELETE FROM actions_actions WHERE seq = 1", "actions: .* 1 lost"),
    (
        f"UPDATE actions_actions SET status = 'skipped', reason = 'suppressed' WHERE {MAIL}",
        "actions: .* 1 unlike",
    ),
    (
        f"UPDATE actions_actions SET rendered = replace(rendered, 'are', 'be') WHERE {MAIL}",
        "actions: .* 1 unlike",
    ),
    (f"UPDATE actions_actions SET status = 'uncertain' WHERE {MAIL}", "own events of nothing"),
    ("DELETE FROM actions_tasks WHERE seq = 1", "tasks: .* 1 lost"),
    (
        f"INSERT INTO actions_tasks (seq, id, {TASK}) SELECT 9999, 'act_x', {TASK} FROM actions_tasks WHERE seq = 1",
        "tasks: .* 1 too many",
    ),
    (f"UPDATE actions_tasks SET status = 'open', reason = NULL WHERE {CLOSED}", "tasks: .* 1 unlike"),
    ("UPDATE actions_tasks SET title = 'x' WHERE seq = 1", "tasks: .* 1 unlike"),
    ("DELETE FROM actions_accounts WHERE account = 'a1'", "profiles: .* 1 lost"),
    (f"DELETE FROM actions_attempts WHERE {TRIED}", "attempts"),
    (f"UPDATE actions_attempts SET ended_at = NULL WHERE {TRIED}", "has no end"),
    ("INSERT INTO actions_outbox (partition, account, value) VALUES (0, 'a', x'00')", "left in the outbox"),
]


@pytest.mark.parametrize(("statement", "complaint"), TAMPERED)
def test_what_is_wrong_in_the_tables_is_found(opened: Open, statement: str, complaint: str) -> None:
    opened.sql(statement)
    with pytest.raises(AssertionError, match=complaint):
        hold(opened, kills=1)


def _any_hook(came: Arrived) -> str:
    return next(name for name in came.counts if len(came.said[name]) == 16)


def _lose(came: Arrived) -> None:
    del came.counts[_any_hook(came)]


def _double(came: Arrived) -> None:
    came.counts[_any_hook(came)] += 1


def _invent(came: Arrived) -> None:
    came.counts["act_nobody"] += 1


def _say_otherwise(came: Arrived) -> None:
    came.said[_any_hook(came)] = "x"


def _repeat_otherwise(came: Arrived) -> None:
    came.unlike.append(_any_hook(came))


ARRIVALS: list[tuple[Callable[[Arrived], None], str]] = [
    (_lose, "never arrived"),
    (_double, "1 attempts are recorded|after 0 kills"),
    (_invent, "without an action"),
    (_say_otherwise, "arrived as x"),
    (_repeat_otherwise, "another content"),
]


@pytest.mark.parametrize(("tamper", "complaint"), ARRIVALS)
def test_what_arrived_wrongly_is_found(
    opened: Open, tamper: Callable[[Arrived], None], complaint: str
) -> None:
    tamper(opened.past.came)
    with pytest.raises(AssertionError, match=complaint):
        hold(opened)


def _acknowledge(one: Open) -> None:
    one.past.acknowledged.add(("a1", "s8-nowhere"))


def _disorder(one: Open) -> None:
    number, account = min((int(id_.rpartition("-")[2]), name) for name, id_ in one.past.acknowledged)
    other = "a1" if account != "a1" else "a2"
    one.append(EVENTS, encode(Event(id=f"s8-{number}", type="seen", account=other, time=START)), other)


def _invent_own(one: Open) -> None:
    event = Event(id="evt_x", source="touchline", type="touchline.email.sent", account="a1", time=START)
    one.append(EVENTS, encode(event), "a1")


def _relay_otherwise(one: Open) -> None:
    record = one.told()
    assert record.trigger is not None
    record.trigger.value = 10**6
    place = record.trigger.position.partition
    one.append(TRIGGERS, msgspec.json.encode(record), record.trigger.account, place)


def _pass_over(one: Open) -> None:
    partition = partition_for("a1", one.log.partitions)
    progress = TriggerRecord(progress=Progress(partition=partition, offset=10**6, clock=0))
    one.append(TRIGGERS, msgspec.json.encode(progress), "a1", partition)
    record = one.told()
    assert record.trigger is not None
    record.trigger.id = "trg_late"
    one.append(TRIGGERS, msgspec.json.encode(record), "a1", partition)


TOPICS: list[tuple[Callable[[Open], None], str]] = [
    (_acknowledge, "1 acknowledged events lost"),
    (_disorder, "lies behind number"),
    (_invent_own, "own events of nothing"),
    (_relay_otherwise, "on the topic"),
    (_pass_over, "rules was past"),
]


@pytest.mark.parametrize(("tamper", "complaint"), TOPICS)
def test_what_is_wrong_on_the_topics_is_found(
    opened: Open, tamper: Callable[[Open], None], complaint: str
) -> None:
    tamper(opened)
    with pytest.raises(AssertionError, match=complaint):
        hold(opened)
