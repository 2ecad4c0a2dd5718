"""A rule that fails raises a notice; another version, or none, ends it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backbone import notices
from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log.embedded.log import EmbeddedLog
from schemas.notices import NoticeKind
from schemas.rule import RuleIn
from services.rules.storage.rule_repository import RuleRepository
from services.rules.unhealthy_notices import UnhealthyNotices
from tests.migrated import migrated

RULE = {"name": "r", "status": "active", "when": {"threshold": {"event": "e", "at_least": 1}}}


class Rules:
    """A database with one rule, and a process in which it may fail."""

    def __init__(self, folder: Path) -> None:
        self.db = Database(f"sqlite:///{folder / 'touchline.db'}")
        migrated(self.db)
        self.log = EmbeddedLog(folder, 1)
        self._saver = RuleRepository(self.db, self.log, ManualClock(0))
        self.failed: dict[str, tuple[int, str]] = {}
        self._notices = UnhealthyNotices(self.db, lambda: 5, lambda: self.failed)

    def save(self, **changes: object) -> None:
        with self.db.write() as conn:
            self._saver.put(conn, RuleIn.model_validate({**RULE, **changes}), None, "t")

    def told(self) -> list[tuple[str, str, str]]:
        self._notices.write()
        with self.db.read() as conn:
            found = notices.open_notices(conn, NoticeKind.RULE_UNHEALTHY)
        return [(one.object, one.mark, one.detail) for one in found]

    def delete(self) -> None:
        with self.db.write() as conn:
            self._saver.delete(conn, "r", None, "t")


@pytest.fixture
def rules(tmp_path: Path) -> Iterator[Rules]:
    made = Rules(tmp_path)
    made.save()
    yield made
    made.log.close()
    made.db.close()


def test_it_is_told_without_what_the_error_quotes(rules: Rules) -> None:
    assert rules.told() == []
    rules.failed = {"r": (1, "ValueError: 'ann@acme.test' is none")}
    assert rules.told() == rules.told() == [("r", "1", "version 1, ValueError")]


def test_a_process_that_has_not_met_the_error_ends_nothing(rules: Rules) -> None:
    rules.failed = {"r": (1, "ValueError")}
    rules.told()
    rules.failed = {}
    assert len(rules.told()) == 1


def test_another_version_ends_it_and_the_old_one_does_not_raise_it_again(rules: Rules) -> None:
    rules.failed = {"r": (1, "ValueError")}
    rules.told()
    rules.save(description="mended")
    assert rules.told() == []  # though a partition still has the old one
    rules.failed = {"r": (2, "ValueError")}
    assert [mark for _, mark, _ in rules.told()] == ["2"]


@pytest.mark.parametrize("how", ["delete", "pause"])
def test_a_rule_that_runs_no_more_ends_it(rules: Rules, how: str) -> None:
    rules.failed = {"r": (1, "ValueError")}
    rules.told()
    if how == "delete":
        rules.delete()
    else:
        rules.save(status="paused")
    assert rules.told() == []
