"""The tier policy and the sending policy in words: to be read aloud, and nothing of the document is missing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.policy import POLICY_EXAMPLE, WEEK, PolicyDoc
from schemas.rule import TiersDoc
from schemas.sentences.of_settings import policy, tiers


def said(document: dict[str, Any]) -> str:
    return policy(PolicyDoc.model_validate(document))


def test_no_policy() -> None:
    assert said({}) == (
        "Mails to contacts may begin at any hour. There is no limit to how many somebody gets. A mail that "
        "cannot begin waits for at most 7 days, and is skipped then. Where neither the contact nor the "
        "account has a time zone, that of UTC counts."
    )


def test_the_whole_of_a_policy() -> None:
    assert said(POLICY_EXAMPLE) == (
        "Mails to contacts begin from 08:00 to 18:00, Monday to Friday, by the clock of their reader; those "
        "about billing begin at any hour, on any day. None begins on 2026-12-25. At most 2 mails to one "
        "address begin in any 7 days. At most 1 mail for the high tier and 3 mails for the low tier to all "
        "contacts of one account begin in any 1 day, not counting those about billing. A mail that cannot "
        "begin waits for at most 7 days, and is skipped then. Where neither the contact nor the account has a "
        "time zone, that of Europe/Paris counts."
    )


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (list(WEEK), "every day"),
        (["mon", "tue", "wed"], "Monday to Wednesday"),
        (["mon", "tue"], "on Monday and Tuesday"),
        (["sun", "mon", "wed"], "on Monday, Wednesday and Sunday"),
        (["sat"], "on Saturday"),
    ],
)
def test_days(days: list[str], words: str) -> None:
    assert f", {words}, by the clock" in said({"hours": {"from": "09:00", "to": "24:00", "days": days}})


@given(st.sets(st.dates().filter(lambda day: 2000 <= day.year < 2100).map(str), max_size=30))
def test_every_holiday_is_named_or_counted(dates: set[str]) -> None:
    words = said({"holidays": sorted(dates)})
    assert all(day in words for day in sorted(dates)[:10])
    assert (f"{len(dates) - 10} other date" in words) is (len(dates) > 10)


def told(entries: list[dict[str, Any]]) -> str:
    return tiers(TiersDoc.model_validate({"tiers": entries})).removesuffix(
        " A tier that an account was given itself goes first."
    )


def test_tiers() -> None:
    rich = {"account.attributes.arr": {"gte": 50_000}}
    assert told(
        [
            {"tier": "high", "where": rich},
            {"tier": "low", "where": {"account.attributes.plan": "team"}},
            {"tier": "tech"},
        ]
    ) == (
        "An account is high touch if account.attributes.arr is at least 50,000. Otherwise it is low touch if "
        "account.attributes.plan is team. All others are tech touch."
    )
    assert told([{"tier": "low"}]) == "Every account is low touch."
    assert told([{"tier": "high", "where": rich}]).endswith("All others are tech touch.")
