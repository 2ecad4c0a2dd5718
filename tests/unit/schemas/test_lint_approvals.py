"""What is doubtful in steps that ask for an approval, and what is not."""

from typing import Any

import pytest

from schemas.lint.approvals import lint_approvals
from schemas.lint.outline import outline_playbook
from schemas.playbook import PlaybookIn


def mail(**fields: Any) -> dict[str, Any]:
    return {"email": {"template": "hello", **fields}}


def doubted(steps: Any, **more: Any) -> list[str]:
    body = PlaybookIn.model_validate({"name": "p", "steps": steps})
    return [one["field"] for one in lint_approvals(body, **more)]


@pytest.mark.parametrize(
    ("fields", "doubt"),
    [
        ({"approve": True, "approve_within": "2d", "within": "12h"}, ["approve_within"]),
        ({"approve": {"high": True}, "approve_within": "2d", "within": "12h"}, ["approve_within"]),
        ({"approve": True, "within": "12h"}, ["within"]),  # it may wait for 7d
        ({"approve": True, "within": "7d"}, []),
        ({"approve": True, "approve_within": "12h", "within": "12h"}, []),
        ({"approve": True, "approve_within": "2d"}, []),
        ({"approve": False, "within": "12h"}, []),
    ],
)
def test_a_mail_that_is_approved_too_late(fields: dict[str, Any], doubt: list[str]) -> None:
    assert doubted([mail(**fields)]) == [f"steps.0.email.{one}" for one in doubt]


ASKED = mail(approve=True)
TWO_DAYS = mail(approve=True, approve_within="2d")


@pytest.mark.parametrize(
    ("steps", "fields"),
    [
        ([mail()], []),
        ([ASKED], []),
        ([mail(approve=True, approver="lead@us.test", approve_within="2d")], []),
        ([mail(approver="lead@us.test")], ["steps.0.email.approver"]),
        ([mail(approve=False, approve_within="2d")], ["steps.0.email.approve_within"]),
        ([mail(approve={"high": False}, approver="owner")], ["steps.0.email.approver"]),
        ([mail(approve=True, to="owner")], ["steps.0.email.approve"]),
        ([mail(approve=True, to="owner", approver="lead@us.test")], []),
        ([mail(approve={"high": True})], []),
        ({"low": [mail(approve={"high": True})]}, ["steps.low.0.email.approve.high"]),
        ({"low": [ASKED], "high": [mail(approve={"high": True})]}, []),
        ([mail(approve={"high": True, "tech": True})], []),
    ],
)
def test_what_is_asked_of_whom(steps: Any, fields: list[str]) -> None:
    assert doubted(steps) == fields


@pytest.mark.parametrize(
    ("steps", "fields"),
    [
        ([ASKED, {"wait": "3d"}, mail()], ["steps.0.email.approve_within"]),
        ([ASKED, {"wait": "7d"}, mail()], []),
        ([TWO_DAYS, {"wait": "3d"}, mail()], []),
        ([TWO_DAYS, mail()], ["steps.0.email.approve_within"]),
        ([TWO_DAYS, {"wait": "1d"}, {"task": {"title": "Call"}}, {"wait": "1d"}, mail()], []),
        ([ASKED, {"wait": "3d"}, mail(to="owner")], []),
        ([ASKED, {"wait": {"until_date": "account.attributes.renewal"}}, mail()], []),
        ([ASKED, {"wait": {"for": "3d", "until": {"event": "x"}}}, mail()], ["steps.0.email.approve_within"]),
        (
            [{"branch": {"if": {"account.tier": "low"}, "then": [ASKED, {"wait": "1d"}, mail()]}}],
            ["steps.0.branch.then.0.email.approve_within"],
        ),
        ([mail(), {"wait": "1d"}, ASKED], []),
    ],
)
def test_a_mail_that_the_next_one_overtakes(steps: Any, fields: list[str]) -> None:
    assert doubted(steps) == fields


def test_an_owner_that_nobody_has() -> None:
    assert doubted([ASKED], owners=False) == ["steps.0.email.approve"]
    assert doubted([mail(approve=True, approver="owner")], owners=False) == ["steps.0.email.approver"]
    assert doubted([mail(approve=True, approver="lead@us.test")], owners=False) == []
    assert doubted([mail()], owners=False) == []


def test_the_task_of_an_approval_is_among_what_a_play_brings_about() -> None:
    steps = [mail(approve={"high": True})]
    emits = outline_playbook(PlaybookIn.model_validate({"name": "p", "steps": steps})).emits
    assert [tier for tier, types in emits.items() if "touchline.task.created" in types] == ["high"]
