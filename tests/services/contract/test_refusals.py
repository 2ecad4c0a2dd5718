"""Contract, section 8: every wrong field with its path, also fields that were left out or clash with others."""

from typing import Any

import httpx
import pytest

THRESHOLD = {"event": "x", "at_least": 1}
CONTACT_DATE = {"date": {"attribute": "contact.attributes.birthday", "after": "1y"}}
RULES: list[tuple[dict[str, Any], str]] = [
    ({"threshold": {"event": "x", "at_most": 1}}, "when.threshold.within"),
    ({"threshold": {**THRESHOLD, "aggregate": "sum"}}, "when.threshold.of"),
    ({"trend": {"event": "x", "aggregate": "sum", "over": "7d", "baseline": "7d", "falls_by": 1}}, "when.trend.of"),
    (CONTACT_DATE, "when.date.attribute"),
    (
        {"all_of": {"of": [{"threshold": THRESHOLD}, CONTACT_DATE], "within": "1d"}},
        "when.all_of.of.1.date.attribute",
    ),
    ({"threshold": {**THRESHOLD, "where": {"severity": "high"}}}, "when.threshold.where.severity"),
    (
        {"becomes": {"is": {"all": [{"account.tier": "high"}, {"data.x": 1}]}}},
        "when.becomes.is.all.1.data.x",
    ),
]  # fmt: skip
PLAYBOOKS: list[tuple[Any, str]] = [
    ([{"id": "a", "wait": "1d"}, {"id": "a", "wait": "1d"}], "steps"),
    ({"low": [{"id": "a", "wait": "1d"}, {"id": "a", "wait": "1d"}]}, "steps.low"),
]


def fields(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(("when", "field"), RULES)
def test_a_rules_wrong_field(api: httpx.Client, when: dict[str, Any], field: str) -> None:
    assert fields(api.put("/v1/rules/wrong", json={"when": when})) == [field]


@pytest.mark.parametrize(("steps", "field"), PLAYBOOKS)
def test_a_playbooks_wrong_field(api: httpx.Client, steps: Any, field: str) -> None:
    assert fields(api.put("/v1/playbooks/wrong", json={"steps": steps})) == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"subject": "s"}, "markdown"),
        ({"subject": "s", "markdown": "m", "html": "h"}, "markdown"),
        ({"subject": "one\ntwo", "markdown": "m"}, "subject"),
    ],
)
def test_a_templates_wrong_field(api: httpx.Client, body: dict[str, str], field: str) -> None:
    assert fields(api.put("/v1/templates/wrong", json=body)) == [field]


def test_an_unknown_operator_is_told_the_known_ones(api: httpx.Client) -> None:
    when = {"threshold": {**THRESHOLD, "where": {"data.x": {"foo": 1}}}}
    answer = api.put("/v1/rules/wrong", json={"when": when})
    assert fields(answer) == ["when.threshold.where.data.x.foo"]
    message = answer.json()["errors"][0]["message"]
    assert all(operator in message for operator in ("eq", "not_in", "starts_with", "matches"))


@pytest.mark.parametrize(
    ("asked", "field", "said"),
    [
        ("plays?status=opne", "status", "'open', 'finished', 'exited'"),
        ("plays?reason=bounced", "reason", "'exit_event'"),
        ("plays?owner=jo", "owner", "should be an address"),
        ("actions?reason=completed", "reason", "'suppressed'"),
        ("actions?channel=mail", "channel", "'email', 'task' or 'webhook'"),
        ("actions?recipient=", "recipient", "at least 1 character"),
        ("tasks?assignee=owner", "assignee", "should be an address"),
        ("tasks?sort=newest", "sort", "'created', 'due' or 'priority'"),
        ("tasks?overdue=perhaps", "overdue", "boolean"),
        ("tasks?due_before=2026-12-01", "due_before", "RFC 3339"),
    ],
)
def test_a_filter_that_cannot_work_says_what_can(
    api: httpx.Client, asked: str, field: str, said: str
) -> None:
    answer = api.get(f"/v1/{asked}")
    assert fields(answer) == [field]
    assert said in answer.json()["errors"][0]["message"]


def test_no_call_takes_a_field_that_it_does_not_read(api: httpx.Client) -> None:
    """But for the calls whose bodies are others': Segment's, webhooks, and the reports of mail providers."""
    segments = {f"/v1/{call}" for call in ("track", "identify", "group", "page", "screen", "alias", "batch")}
    others = ("/u/", "/v1/hooks/", "/v1/mail/feedback/")
    asked = [
        (method, path)
        for path, calls in api.get("/openapi.json").json()["paths"].items()
        for method in calls
        if method in {"post", "put"} and path not in segments and not path.startswith(others)
    ]
    assert len(asked) > 20
    for method, path in asked:
        address = path.replace("{version}", "1").replace("{", "").replace("}", "")
        answer = api.request(method, address, json={"bogus": 1})
        assert "bogus" in fields(answer), (method, path)
