"""From revisions to rule sets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log.embedded.log import EmbeddedLog
from backbone.migrations import migrate_all
from schemas.rule import RuleIn
from services.rules.storage.revisions import RuleSets
from services.rules.storage.rule_repository import RuleRepository


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Two rules, saved one after the other, the first of them a second time."""
    made = Database(f"sqlite:///{tmp_path / 'touchline.db'}")
    migrate_all(made)
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
