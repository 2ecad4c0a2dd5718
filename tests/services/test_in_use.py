"""Saving what names a document while that is deleted, on both databases: one of the two is refused."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.documents import registry
from backbone.documents.in_use import InUse, refuse_if_used
from backbone.errors import Conflict
from backbone.log.embedded.log import EmbeddedLog
from deploy.local.process import wait_until
from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn
from services.actions import published_outlines
from services.actions.api import documents
from services.actions.storage.library import PLAYBOOKS, TEMPLATES
from services.rules.storage.revisions import latest
from services.rules.storage.rule_repository import RuleRepository
from tests.migrated import migrated

BOOK = PlaybookIn.model_validate({"name": "outreach", "steps": [{"wait": "1d"}]})
RULE = RuleIn.model_validate(
    {
        "name": "spike",
        "playbook": "outreach",
        "status": "active",
        "when": {"threshold": {"event": "e", "at_least": 1}},
    }
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with a playbook."""
    url = f"sqlite:///{tmp_path / 'touchline.db'}"
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("new_database")
        url = make().replace("postgresql://", "postgresql+psycopg://")
    made = Database(url)
    migrated(made)
    with made.write() as conn:
        stored, _ = PLAYBOOKS.put(conn, "outreach", {"steps": [{"wait": "1d"}]}, "test", 0)
        published_outlines.write_outline(conn, BOOK, stored)
    yield made
    made.close()


@pytest.fixture
def saver(db: Database, tmp_path: Path) -> Iterator[RuleRepository]:
    log = EmbeddedLog(tmp_path, 1)
    yield RuleRepository(db, log, ManualClock(0))
    log.close()


class Other(threading.Thread):
    """Does something in another thread; what it raised is kept."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work, self.error = work, None
        self.start()

    error: Exception | None

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def ended(self) -> Exception | None:
        self.join(30)
        assert not self.is_alive()
        return self.error


def remove(conn: Connection) -> None:
    """As `DELETE /v1/playbooks/outreach` does it."""
    refuse_if_used(conn, "playbook", "outreach")
    registry.remove(conn, "playbook", "outreach")
    PLAYBOOKS.delete(conn, "outreach", "test", 1)


def save(saver: RuleRepository, inside: Callable[[], Any] = lambda: None) -> None:
    """As `PUT /v1/rules/spike` does it; `inside` is called before its transaction ends."""

    def change(conn: Connection) -> None:
        saver.put(conn, RULE, None, "test")
        inside()

    saver.run(change, RULE.playbook)


def test_a_save_that_meets_a_deletion_is_refused(
    db: Database, saver: RuleRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()
    knows = saver._knows

    def look(playbook: str) -> bool:
        found = knows(playbook)
        asked.set()
        return found

    monkeypatch.setattr(saver, "_knows", look)
    with db.write() as conn:
        remove(conn)
        other = Other(lambda: save(saver))
        assert asked.wait(30), "the save has begun, and saw the playbook"
    error = other.ended()
    assert isinstance(error, Conflict)
    assert error.code == "gone"
    with db.read() as conn:
        assert latest(conn, "spike") is None


def test_a_deletion_that_meets_a_save_is_refused(db: Database, saver: RuleRepository) -> None:
    begun, deleting = threading.Event(), threading.Event()

    def delete() -> None:
        begun.wait(30)
        deleting.set()
        with db.write() as conn:
            remove(conn)

    other = Other(delete)

    def inside() -> None:
        begun.set()
        deleting.wait(30)
        if db.dialect == "postgresql":
            wait_until("the deletion waits for the save", lambda: _waits(db), 30)

    save(saver, inside)
    error = other.ended()
    assert isinstance(error, InUse)
    assert error.extra == {"users": [{"kind": "rule", "name": "spike"}]}
    with db.read() as conn:
        assert PLAYBOOKS.get(conn, "outreach") is not None


def _waits(db: Database) -> bool:
    """Whether somebody waits for an advisory lock."""
    with db.read() as conn:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(conn.exec_driver_sql(waiting).scalar())


def test_a_playbook_that_meets_the_deletion_of_its_template_is_refused(db: Database) -> None:
    with db.write() as conn:
        TEMPLATES.put(conn, "hello", {"subject": "Hi", "markdown": "Hi"}, "test", 0)
    body = PlaybookIn.model_validate({"name": "mail", "steps": [{"email": {"template": "hello"}}]})
    found: list[Any] = []

    def save_playbook() -> None:
        with db.write() as conn:
            found.extend(documents._unknown(conn, body))

    with db.write() as conn:
        refuse_if_used(conn, "template", "hello")
        TEMPLATES.delete(conn, "hello", "test", 1)
        other = Other(save_playbook)
        if db.dialect == "postgresql":
            wait_until("the save waits for the deletion", lambda: _waits(db), 30)
    assert other.ended() is None
    assert [error["field"] for error in found] == ["steps.0.email.template"]
