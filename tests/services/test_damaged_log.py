"""Bytes of the embedded log that changed on the disk cost the records that they belong to, and nobody else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from backbone.clock import ManualClock
from backbone.log import DEAD_LETTERS, EVENTS, TRIGGERS, partition_for
from backbone.log.embedded.log import EmbeddedLog
from services.actions.tables import plays
from services.rules.worker import RulesWorker
from tests.services.actions.kit import House
from tests.services.rules.test_worker import rules
from tests.unit.plays.kit import T0, account, book

HOME = partition_for("acme", 2)


def damage(folder: Path, topic: str, partition: int, offset: int) -> None:
    """A byte of the chunk that begins at an offset becomes another."""
    with sqlite3.connect(folder / "log.db") as connection:
        lane = connection.execute(
            "SELECT lane FROM lanes WHERE topic = ? AND partition = ?", (topic, partition)
        ).fetchone()[0]
        place = lane << 48 | offset
        (body,) = connection.execute("SELECT body FROM chunks WHERE place = ?", (place,)).fetchone()
        changed = body[:-9] + bytes((body[-9] ^ 1,)) + body[-8:]
        connection.execute("UPDATE chunks SET body = ? WHERE place = ?", (changed, place))
    connection.close()


def letters(log: EmbeddedLog) -> list[tuple[str, str]]:
    found = [dict(record.headers) for p in range(2) for record in log.read(DEAD_LETTERS, p, 0)]
    return sorted((one["origin"].decode(), one["error"].decode()) for one in found)


def test_events(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    with rules(folder) as ours:
        start = ours.log.end_offsets(EVENTS)[HOME]  # behind the control record of the save
        assert start == 1
        for count in (2, 2, 3):
            ours.post(count, account="acme")
        ours.log.close()
        damage(folder, EVENTS, HOME, 3)
        ours.log = EmbeddedLog(folder, 2)
        ours.worker = RulesWorker(ours.db, ours.log, ManualClock(T0), clock_mode="log")
        ours.worker.join()
        ours.catch_up()
        why = "the record is damaged: its checksum does not fit"
        assert letters(ours.log) == [(f"{EVENTS}/{HOME}/{offset}", why) for offset in (3, 4)]
        states, triggers = ours.stored()
        assert list(states) == ["acme"]
        (trigger,) = triggers  # by the third of the five that are left
        assert b'"e5"' in trigger
        assert b'"e3"' not in trigger


def test_triggers(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.save(book())
    (place,) = house.post(account())
    fired = [house.fire(T0 + n, place) for n in range(3)]
    house.log.close()
    damage(tmp_path, TRIGGERS, HOME, 1)
    house.log = EmbeddedLog(tmp_path, 2)
    house.restart()
    house.settle()
    assert letters(house.log) == [
        (f"{TRIGGERS}/{HOME}/1", "the record is damaged: its checksum does not fit")
    ]
    assert [row.trigger["id"] for row in house.rows(plays)] == [fired[0], fired[2]]
    house.close()
