"""From revisions to rule sets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import EVENTS
from backbone.log.embedded.log import EmbeddedLog
from schemas.event import Event
from schemas.rule import RuleIn
from services.rules.storage.revisions import RuleSets, latest
from services.rules.storage.rule_repository import RuleRepository
from tests.migrated import migrated


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Two rules, saved one after the other, the first of them a second time."""
    made = Database(f"sqlite:///{tmp_path / 'touchline.db'}")
    migrated(made)
    log = EmbeddedLog(tmp_path, 1)
    saver = RuleRepository(made, log, ManualClock(0))
    for name, at_least in (("a", 1), ("b", 1), ("a", 2)):
        when = {"threshold": {"event": "e", "at_least": at_least}}
        rule = RuleIn.model_validate({"name": name, "status": "active", "when": when})
        with made.write() as conn:
            saver.put(conn, rule, None, "test")
    yield made
    log.close()
    made.close()


def test_what_a_later_revision_leaves_alone_is_not_read_again(db: Database) -> None:
    sets = RuleSets(db)
    first, second, third = (sets(revision) for revision in (1, 2, 3))
    assert [rule.name for rule in second.rules] == ["a", "b"]
    assert second.rules[0] is first.rules[0]
    assert third.rules[1] is second.rules[1]
    assert third.rules[0].version == 2


def test_an_earlier_revision_can_be_asked_for_afterwards(db: Database) -> None:
    sets = RuleSets(db)
    last = sets(3)
    assert [rule.version for rule in sets(2).rules] == [1, 1]
    assert [rule.version for rule in sets(3).rules] == [rule.version for rule in last.rules]


def test_a_rule_holds_its_plays_from_the_pause_that_asks_for_it_until_it_is_active(tmp_path: Path) -> None:
    """Whatever is done to it meanwhile; and every way of making it active lets them go."""
    db = Database(f"sqlite:///{tmp_path / 'touchline.db'}")
    migrated(db)
    log = EmbeddedLog(tmp_path, 1)
    saver = RuleRepository(db, log, ManualClock(0))

    def rule(status: str | None, at_least: int = 1) -> RuleIn:
        when = {"threshold": {"event": "e", "at_least": at_least}}
        return RuleIn.model_validate({"name": "a", "when": when} | ({"status": status} if status else {}))

    steps: list[tuple[Callable[[Connection], Any], bool]] = [
        (lambda conn: saver.create(conn, rule("active"), "me"), False),
        (lambda conn: saver.turn(conn, "a", "paused"), False),
        (lambda conn: saver.turn(conn, "a", "paused", holds=True), True),
        (lambda conn: saver.turn(conn, "a", "paused", holds=True), True),
        (lambda conn: saver.turn(conn, "a", "paused"), True),
        (lambda conn: saver.put(conn, rule(None, 2), None, "me"), True),
        (lambda conn: saver.publish(conn, "a", 1, None), True),
        (lambda conn: saver.turn(conn, "a", "shadow"), True),
        (lambda conn: saver.turn(conn, "a", "active", backfill=True), False),
        (lambda conn: saver.turn(conn, "a", "paused", holds=True), True),
        (lambda conn: saver.put(conn, rule("active"), None, "me"), False),
        (lambda conn: saver.turn(conn, "a", "paused", holds=True), True),
        (lambda conn: saver.delete(conn, "a", None, "me"), True),
        (lambda conn: saver.publish(conn, "a", 1, None), True),
        (lambda conn: saver.turn(conn, "a", "active"), False),
    ]  # fmt: skip
    for number, (step, holds) in enumerate(steps):
        saver.run(step)
        with db.read() as conn:
            row = latest(conn, "a")
        assert row is not None
        assert row.holds == holds, number
    records = [msgspec.json.decode(one.value, type=Event).data for one in log.read(EVENTS, 0, 0, 100)]
    assert [one["revision"] for one in records] == list(range(1, len(steps) - 1)), "two steps changed nothing"
    assert [one["holds"] for one in records] == [
        holds for at, (_, holds) in enumerate(steps) if at not in (3, 4)
    ]
    assert {one["rule"] for one in records} == {"a"}
    log.close()
    db.close()
