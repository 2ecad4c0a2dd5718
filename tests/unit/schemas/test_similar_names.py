"""Types that may mean one thing: proposed as aliases where a rule listens to what nobody sends."""

# ruff: noqa: E501  vectors read better in one line
import pytest

from schemas.lint.similar_names import alike
from schemas.lint.single import Facts, lint_rule
from schemas.rule import RuleIn


@pytest.mark.parametrize(
    "seen",
    [
        "account_signed_up",
        "Account Signed Up",
        "accountSignedUp",
        "signed_up.account",
        "acount.signed_up",
        "account-signed-up",
    ],
)
def test_one_thing_by_another_name(seen: str) -> None:
    assert alike("account.signed_up", ["invoice.paid", seen, "account.closed"]) == seen


@pytest.mark.parametrize(
    "seen", ["account.signed_out", "signed_up", "account.updated", "x", "", "account.signed_up"]
)
def test_another_thing(seen: str) -> None:
    assert alike("account.signed_up", [seen]) is None


def told(seen: str) -> list[str]:
    when = {"threshold": {"event": "account.signed_up", "at_least": 1}}
    rule = RuleIn.model_validate({"name": "r", "when": when})
    return [
        one["message"]
        for one in lint_rule(rule, Facts({seen: frozenset()}))
        if one["field"].endswith(".event")
    ]


def test_the_linter_proposes_an_alias() -> None:
    [message] = told("account_signed_up")
    assert message.endswith(
        'but account_signed_up has: if they are one, PUT /v1/aliases renames it with {"account_signed_up": "account.signed_up"}'
    )
    [message] = told("invoice.paid")
    assert "alias" not in message
    assert told("account.signed_up") == []
