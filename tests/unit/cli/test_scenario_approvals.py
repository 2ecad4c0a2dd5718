"""Scenarios in which mails wait for an approval: who decides, when they go out, and what must not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.documents import FileProblems
from services.cli.scenario import run

RULE = {
    "kind": "rule", "name": "spike", "playbook": "write",
    "when": {"threshold": {"event": "ticket", "within": "1d", "at_least": 1}},
}  # fmt: skip
BOOK: dict[str, Any] = {
    "kind": "playbook", "name": "write", "exit_when": {"event": "solved"},
    "steps": [{"email": {"template": "hello", "approve": True, "approve_within": "3d"}}, {"wait": "1d"},
              {"task": {"title": "Call"}}],
}  # fmt: skip
HELLO = {"kind": "template", "name": "hello", "subject": "Hi", "markdown": "Hello"}
PERSON = {
    "tier": "low",
    "owner": {"email": "jo@us.test"},
    "contacts": [{"id": "ann", "email": "ann@acme.test"}],
}
CALLED = {"account": "acme", "channel": "task"}
MAIL = {"account": "acme", "channel": "email"}


def differences(folder: Path, actions: list[dict[str, Any]], **more: Any) -> list[str]:
    """What differs."""
    (folder / "documents.yaml").write_text(yaml.safe_dump_all([RULE, BOOK, HELLO]))
    test = {
        "load": ["documents.yaml"],
        "accounts": {"acme": PERSON},
        "events": [{"at": "2026-01-01T00:00:00Z", "account": "acme", "type": "ticket"}],
        "until": "2026-01-10T00:00:00Z",
        "expect": {"actions": actions},
    }
    file = folder / "write.test.yaml"
    file.write_text(yaml.safe_dump(test | more))
    return [one.what for one in run(file, None)]


def test_nobody_approves_it(tmp_path: Path) -> None:
    late = MAIL | {"status": "skipped", "reason": "not_approved"}
    assert differences(tmp_path, [late, CALLED]) == []
    assert differences(tmp_path, [MAIL, CALLED]) == ["actions"]
    waits = MAIL | {"status": "pending", "reason": "awaiting_approval", "at": "2026-01-01T00:00:00Z"}
    assert differences(tmp_path, [waits, CALLED], until="2026-01-03T23:59:59Z") == []
    assert differences(tmp_path, [CALLED], until="2026-01-03T23:59:59Z") == []  # as any mail that waits
    assert differences(tmp_path, [waits, CALLED], until="2026-01-04T00:00:00Z") == ["actions"]


@pytest.mark.parametrize("which", [{"account": "acme"}, {"recipient": "ann@acme.test", "step": "0"}, {}])
def test_somebody_approves_it(tmp_path: Path, which: dict[str, Any]) -> None:
    approve = [{"at": "2026-01-02T10:00:00Z", "approve": which}]
    sent = MAIL | {"at": "2026-01-02T10:00:00Z", "due_at": "2026-01-01T00:00:00Z"}
    assert differences(tmp_path, [sent, CALLED], by_hand=approve) == []
    assert differences(tmp_path, [CALLED], by_hand=approve) == ["actions"]
    early = MAIL | {"at": "2026-01-01T00:00:00Z"}
    assert differences(tmp_path, [early, CALLED], by_hand=approve) == ["actions"]


def test_somebody_rejects_it(tmp_path: Path) -> None:
    reject = [{"at": "2026-01-02T10:00:00Z", "reject": {"account": "acme"}}]
    gone = MAIL | {"status": "skipped", "reason": "not_approved"}
    assert differences(tmp_path, [gone, CALLED], by_hand=reject) == []
    assert differences(tmp_path, [MAIL, CALLED], by_hand=reject) == ["actions"]


def test_a_decision_about_nothing_fails(tmp_path: Path) -> None:
    gone = [MAIL | {"status": "skipped"}, CALLED]
    for decision in (
        {"at": "2026-01-02T10:00:00Z", "approve": {"account": "other"}},
        {"at": "2026-01-04T00:00:00Z", "approve": {"account": "acme"}},  # its time is over
        {"at": "2025-12-31T00:00:00Z", "reject": {}},
    ):
        assert differences(tmp_path, gone, by_hand=[decision]) == ["by_hand"]


def test_an_exit_comes_first(tmp_path: Path) -> None:
    events = [
        {"at": "2026-01-01T00:00:00Z", "account": "acme", "type": "ticket"},
        {"at": "2026-01-01T10:00:00Z", "account": "acme", "type": "solved"},
    ]
    approve = [{"at": "2026-01-01T10:00:00Z", "approve": {}}]
    left = MAIL | {"status": "skipped", "reason": "play_exited"}
    assert differences(tmp_path, [left], events=events) == []
    assert differences(tmp_path, [left], events=events, by_hand=approve) == ["by_hand"]
    approve[0]["at"] = "2026-01-01T09:59:59Z"
    assert differences(tmp_path, [MAIL], events=events, by_hand=approve) == []


@pytest.mark.parametrize("wrong", [{}, {"approve": {}, "reject": {}}, {"approve": True}])
def test_what_a_decision_must_be(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(FileProblems):
        differences(tmp_path, [], by_hand=[{"at": "2026-01-01T00:00:00Z", **wrong}])
