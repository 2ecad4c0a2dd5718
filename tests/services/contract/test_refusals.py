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
