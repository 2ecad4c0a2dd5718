"""The board that the services share: filled by an upgrade, kept by saves, bounded, the same on both databases."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, delete, select, update

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.documents import registry
from backbone.log.embedded.log import EmbeddedLog
from backbone.settings import load_settings
from backbone.tables import outlines as board
from backbone.tables import references
from schemas.lint.outline import (
    PlaybookOutline,
    RuleOutline,
    TemplateOutline,
    Use,
    outline_playbook,
    outline_rule,
)
from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn
from services.actions import published_outlines as of_actions
from services.actions.storage.library import PLAYBOOKS, TEMPLATES
from services.app import running
from services.rules import event_catalog
from services.rules import published_outlines as of_rules
from services.rules.storage.rule_repository import RuleRepository
from tests.migrated import migrated


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with all tables."""
    url = f"sqlite:///{tmp_path / 'touchline.db'}"
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("new_database")
        url = make().replace("postgresql://", "postgresql+psycopg://")
    made = Database(url)
    migrated(made)
    yield made
    made.close()


@pytest.fixture
def saver(db: Database, tmp_path: Path) -> Iterator[RuleRepository]:
    log = EmbeddedLog(tmp_path, 1)
    yield RuleRepository(db, log, ManualClock(0))
    log.close()


def rule(name: str, **fields: Any) -> RuleIn:
    when = {"threshold": {"event": "e", "within": "2d", "at_least": 1}}
    return RuleIn.model_validate({"name": name, "when": when, "playbook": "outreach", **fields})


def on_board(db: Database) -> dict[tuple[str, str], int]:
    with db.read() as conn:
        return {(row.kind, row.name): row.version for row in conn.execute(select(board))}


def doubts(db: Database, *places: Use) -> list[str]:
    with db.read() as conn:
        found = registry.warnings_about(
            conn, PlaybookOutline("outreach", ["high", "low", "tech"], list(places))
        )
    return [one["message"] for one in found]


LONG = Use("steps.0.wait", None, "3d")


def test_saves_keep_it(db: Database, saver: RuleRepository) -> None:
    saver.run(lambda conn: saver.put(conn, rule("a"), None, "test"))
    saver.run(lambda conn: saver.put(conn, rule("b", playbook=None), None, "test"))
    saver.run(lambda conn: saver.turn(conn, "a", "active"))
    assert on_board(db) == {("rule", "a"): 1, ("rule", "b"): 1}
    assert len(doubts(db, LONG)) == 1
    saver.run(lambda conn: saver.put(conn, rule("a", playbook="other"), None, "test"))
    assert doubts(db, LONG) == []
    saver.run(lambda conn: saver.delete(conn, "a", None, "test"))
    assert on_board(db) == {("rule", "b"): 1}
    with db.read() as conn:
        assert conn.execute(select(references)).all() == []


def test_a_save_that_fails_leaves_it_alone(db: Database, saver: RuleRepository) -> None:
    def fail(conn: Connection) -> None:
        saver.put(conn, rule("a"), None, "test")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        saver.run(fail)
    assert on_board(db) == {}


def test_a_start_fills_it_after_an_upgrade(db: Database, saver: RuleRepository) -> None:
    for name in ("a", "b", "gone"):
        saver.run(lambda conn, name=name: saver.put(conn, rule(name), None, "test"))
    saver.run(lambda conn: saver.delete(conn, "gone", None, "test"))
    with db.write() as conn:
        conn.execute(delete(board))
        conn.execute(delete(references))
        PLAYBOOKS.put(conn, "outreach", {"steps": [{"email": {"template": "hello"}}]}, "test", 0)
        PLAYBOOKS.put(conn, "unreadable", {"steps": 3}, "test", 0)
        TEMPLATES.put(conn, "hello", {"subject": "{{ trigger.key }}", "markdown": "m"}, "test", 0)
    of_rules.refresh(db)
    of_actions.refresh(db)
    expected = {("rule", "a"): 1, ("rule", "b"): 1, ("playbook", "outreach"): 1, ("template", "hello"): 1}
    assert on_board(db) == expected
    with db.read() as conn:
        found = registry.warnings_about(conn, TemplateOutline("hello", [Use("subject", None, "key")]))
    assert len(found) == 2

    with db.write() as conn:
        conn.execute(update(board).values(format=0))
    assert doubts(db, LONG) == []  # of a format that this program does not read
    with db.write() as conn:
        registry.write(conn, RuleOutline("ghost", "outreach"), 1)
    of_rules.refresh(db)
    of_actions.refresh(db)
    assert on_board(db) == expected
    assert len(doubts(db, LONG)) == 2


def test_a_loop_is_seen_through_rules_that_are_not_named(db: Database, saver: RuleRepository) -> None:
    def answers(name: str, playbook: str, type_: str, to: str) -> RuleIn:
        body = {"event": type_, "at_least": 1, "where": {"data.playbook": to}}
        return RuleIn.model_validate({"name": name, "when": {"threshold": body}, "playbook": playbook})

    mail, task = (
        {"steps": [step]} for step in ({"email": {"template": "hello"}}, {"task": {"title": "Call"}})
    )
    one = answers("one", "greet", "touchline.task.created", "call")
    two = answers("two", "call", "touchline.email.sent", "greet")
    saver.run(lambda conn: saver.put(conn, one, None, "test"))
    saver.run(lambda conn: saver.put(conn, rule("bystander", playbook="call"), None, "test"))

    def saved(name: str, body: dict[str, Any]) -> list[str]:
        made = outline_playbook(PlaybookIn.model_validate({"name": name, **body}))
        with db.write() as conn:
            registry.write(conn, made, 1)
            return [
                one["message"].split(":")[0]
                for one in registry.warnings_about(conn, made)
                if "itself" in one["message"]
            ]

    assert saved("greet", mail) == []
    assert saved("call", task) == []  # nothing answers its task but `one`, and nothing answers greet yet
    with db.read() as conn:
        said = [each["message"] for each in registry.warnings_about(conn, outline_rule(two))]
    assert sum(text.startswith("may start itself through one:") for text in said) == 1
    saver.run(lambda conn: saver.put(conn, two, None, "test"))
    assert saved("greet", mail) == ["may start itself through two"]
    assert saved("greet", task) == []


def test_a_crowd_of_rules_is_bounded(db: Database) -> None:
    with db.write() as conn:
        for number in range(registry.MOST_WARNINGS + 50):
            registry.write(conn, RuleOutline(f"r{number}", "outreach", ["high"], "1d"), 1)
    assert len(doubts(db, LONG)) == registry.MOST_WARNINGS
    with db.read() as conn:
        assert len(registry.warnings_about(conn, RuleOutline("new", "outreach", ["high"]))) == 10
        assert registry.warnings_about(conn, RuleOutline("new", "outreach", ["tech"])) == []


def test_every_start_looks_whether_the_board_is_whole(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, port=0, partitions=1)
    when = {"threshold": {"event": "e", "at_least": {"high": 1, "low": 1}}}
    for start in ("first", "second"):
        with running(settings) as (rooms, url):
            key = (tmp_path / "admin.key").read_text().strip()
            with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as api:
                if start == "first":
                    body = {"when": when, "playbook": "outreach"}
                    assert "warnings" not in api.put("/v1/rules/spike", json=body).json()
                steps = {"high": [{"wait": "1d"}]}
                answer = api.put("/v1/playbooks/outreach", json={"steps": steps}).json()
                assert [one["field"] for one in answer["warnings"]] == ["steps"]
                for verb in ("shadow", "activate"):  # from here on it matters
                    turned = api.post(f"/v1/rules/spike/{verb}").json()
                    assert [one["field"] for one in turned["warnings"]] == ["playbook"]
                assert "warnings" not in api.post("/v1/rules/spike/pause").json()
            with rooms.db.write() as conn:
                conn.execute(delete(references))
                conn.execute(delete(board))


def test_a_rule_is_warned_of_a_goal_that_the_log_has_not_shown(db: Database) -> None:
    def doubts(*types: str) -> list[str]:
        goal = {"event": list(types), "within": "1d"}
        book = {"name": "outreach", "steps": [{"wait": "1d"}], "goal": goal}
        with db.write() as conn:
            registry.write(conn, outline_playbook(PlaybookIn.model_validate(book)), 1)
        found = event_catalog.warnings_about(db, rule("spike"))
        return [one["message"] for one in found if one["field"] == "playbook"]

    assert doubts("paid") == []  # the log has shown nothing at all
    with db.write() as conn:
        event_catalog.save(conn, [("e", ""), ("login", "")])
    said = "the goal of outreach cannot be reached: no event of type paid has been seen in the log so far"
    assert doubts("paid") == [said]
    assert doubts("paid", "login") == []
