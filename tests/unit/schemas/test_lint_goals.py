"""Holdouts and goals that are probably wrong, and those that are right."""

from typing import Any

import pytest

from schemas.lint.goals import lint_goal, unsent
from schemas.lint.outline import outline_playbook, outline_rule
from schemas.lint.single import Facts
from schemas.lint.together import lint_together
from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn

SEEN = Facts({"invoice.paid": frozenset(), "login": frozenset()})


def book(**fields: Any) -> PlaybookIn:
    return PlaybookIn.model_validate({"name": "outreach", "steps": [{"task": {"title": "Call"}}], **fields})


def goal(*types: str, **fields: Any) -> dict[str, Any]:
    return {"event": list(types) if len(types) > 1 else types[0], "within": "7d", **fields}


@pytest.mark.parametrize(
    ("fields", "doubted"),
    [
        ({}, []),
        ({"holdout": 0}, []),
        ({"holdout": 10}, ["holdout"]),
        ({"holdout": 10, "goal": goal("login")}, []),
        ({"holdout": 10, "goal": goal("*")}, []),
        ({"goal": goal("touchline.task.completed")}, []),
        ({"holdout": 10, "goal": goal("touchline.task.completed")}, ["goal.event"]),
        ({"holdout": 10, "goal": goal("login", "touchline.email.sent")}, ["goal.event"]),
        ({"goal": goal("account.merged")}, ["goal.event"]),
        ({"goal": goal("account.updated", where={"account.attributes.seats": {"gt": 5}})}, []),
    ],
)
def test_by_itself(fields: dict[str, Any], doubted: list[str]) -> None:
    assert [one["field"] for one in lint_goal(book(**fields))] == doubted


@pytest.mark.parametrize(
    ("types", "message"),
    [
        (("login",), None),
        (("sold", "login"), None),
        (("*",), None),
        (("touchline.task.completed",), None),
        (("meeting.held",), "meeting.held has been seen in the log so far"),
        (("invoice_paid",), "invoice_paid has been seen in the log so far; did you mean invoice.paid?"),
    ],
)  # fmt: skip
def test_a_goal_that_nobody_sends(types: tuple[str, ...], message: str | None) -> None:
    found = unsent(outline_playbook(book(goal=goal(*types))), SEEN)
    said = f"the goal of outreach cannot be reached: no event of type {message}"
    assert found == ([] if message is None else [{"field": "playbook", "message": said}])


def test_before_the_log_has_shown_anything_nothing_is_said() -> None:
    assert unsent(outline_playbook(book(goal=goal("sold"))), Facts()) == []
    assert unsent(outline_playbook(book()), SEEN) == []


@pytest.mark.parametrize(("by", "doubted"), [(None, {"goal.by", "playbook"}), ("data.invoice", set())])
def test_a_goal_for_a_key_that_the_rule_does_not_give(by: str | None, doubted: set[str]) -> None:
    when = {"threshold": {"event": "invoice.overdue", "at_least": 1, "within": "1d"}}
    rule = RuleIn.model_validate({"name": "r", "when": when, "playbook": "outreach", "by": by})
    body = book(goal=goal("invoice.paid", by="data.invoice"))
    found = lint_together([outline_rule(rule)], {"outreach": outline_playbook(body)}, {})
    assert {view.doubt["field"] for finding in found for view in finding} == doubted
