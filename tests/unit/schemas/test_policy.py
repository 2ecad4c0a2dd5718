"""The words of the sending policy: what is taken, what is refused and where, and what is doubted."""

from typing import Any

import pytest

from backbone.errors import Invalid
from backbone.web.validation import validate
from schemas.lint.policy import lint_policy
from schemas.policy import POLICY_EXAMPLE, PolicyDoc

WORK = {"from": "08:00", "to": "18:00", "days": ["mon", "tue", "wed", "thu", "fri"]}
CHRISTMAS = [f"2026-12-{day}" for day in range(20, 28)]  # eight days


def policy(body: dict[str, Any]) -> PolicyDoc:
    return validate(PolicyDoc, body)


def doubts(body: dict[str, Any]) -> list[str]:
    return [f"{one['field']}: {one['message']}" for one in lint_policy(policy(body))]


def doubted(body: dict[str, Any]) -> list[str]:
    return [one["field"] for one in lint_policy(policy(body))]


@pytest.mark.parametrize(
    "body",
    [
        {},
        POLICY_EXAMPLE,
        {"hours": {"from": "00:00", "to": "24:00"}},
        {"hours": {"from": "23:59", "to": "24:00", "days": ["sun"]}},
        {"hours": None, "timezone": None},
        {"timezone": "Australia/Lord_Howe", "holidays": ["2028-02-29"]},
        {"caps": [{"at_most": 0, "within": "1s"}], "wait_at_most": "1s"},
        {"caps": [{"at_most": {"tech": 1_000_000}, "within": "365d", "per": "address"}]},
    ],
)
def test_taken_as_it_is(body: dict[str, Any]) -> None:
    assert policy(body).model_dump(mode="json", by_alias=True, exclude_unset=True) == body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"hours": {"from": "18:00", "to": "08:00"}}, "hours.to"),
        ({"hours": {"from": "08:00", "to": "08:00"}}, "hours.to"),
        ({"hours": {"from": "24:00", "to": "24:00"}}, "hours.from"),
        ({"hours": {"from": "08:00", "to": "24:01"}}, "hours.to"),
        ({"hours": {"from": "8:00", "to": "18:00"}}, "hours.from"),
        ({"hours": {"from": 480, "to": "18:00"}}, "hours.from"),
        ({"hours": {"from": "08:00:00", "to": "18:00"}}, "hours.from"),
        ({"hours": {"from": "08:00"}}, "hours.to"),
        ({"hours": {**WORK, "days": []}}, "hours.days"),
        ({"hours": {**WORK, "days": ["mon", "mon"]}}, "hours.days"),
        ({"hours": {**WORK, "days": ["monday"]}}, "hours.days.0"),
        ({"hours": {**WORK, "except_topics": ["!"]}}, "hours.except_topics.0"),
        ({"hours": {**WORK, "timezone": "UTC"}}, "hours.timezone"),
        ({"holidays": ["2026-02-30"]}, "holidays.0"),
        ({"holidays": ["2026-12-25", "25.12.2026"]}, "holidays.1"),
        ({"holidays": ["2026-12-25T00:00:00Z"]}, "holidays.0"),
        ({"holidays": "2026-12-25"}, "holidays"),
        ({"holidays": ["2026-12-25"] * 1_001}, "holidays"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": 1}, "timezone"),
        ({"caps": [{"within": "1d"}]}, "caps.0.at_most"),
        ({"caps": [{"at_most": 1}]}, "caps.0.within"),
        ({"caps": [{"at_most": True, "within": "1d"}]}, "caps.0.at_most"),
        ({"caps": [{"at_most": 1.5, "within": "1d"}]}, "caps.0.at_most"),
        ({"caps": [{"at_most": {"high": -1}, "within": "1d"}]}, "caps.0.at_most.high"),
        ({"caps": [{"at_most": {}, "within": "1d"}]}, "caps.0.at_most"),
        ({"caps": [{"at_most": {"vip": 1}, "within": "1d"}]}, "caps.0.at_most.vip"),
        ({"caps": [{"at_most": 1, "within": "0s"}]}, "caps.0.within"),
        ({"caps": [{"at_most": 1, "within": "1mo"}]}, "caps.0.within"),
        ({"caps": [{"at_most": 1, "within": "366d"}]}, "caps.0.within"),
        ({"caps": [{"at_most": 1, "within": "1d", "per": "contact"}]}, "caps.0.per"),
        ({"caps": [{"at_most": 1, "within": "1d"}] * 21}, "caps"),
        ({"wait_at_most": "0s"}, "wait_at_most"),
        ({"wait_at_most": "53w"}, "wait_at_most"),
        ({"wait_at_most": None}, "wait_at_most"),
        ({"hour": WORK}, "hour"),
        ({"name": "policy"}, "name"),
    ],
)
def test_refused_at_the_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        policy(body)
    assert [error["field"] for error in refused.value.errors] == [field]


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        policy({"hours": {"from": "8", "to": "9"}, "holidays": ["x"], "wait_at_most": "soon", "x": 1})
    fields = [error["field"] for error in refused.value.errors]
    assert fields == ["hours.from", "hours.to", "holidays.0", "wait_at_most", "x"]


def test_what_a_cap_covers() -> None:
    cap = policy(
        {"caps": [{"at_most": {"high": 1, "low": 0}, "within": "1d", "except_topics": ["billing"]}]}
    ).caps[0]
    assert cap.covers("lifecycle", "high")
    assert cap.covers("lifecycle", "low"), "none may begin, and that is a limit"
    assert not cap.covers("lifecycle", "tech")
    assert not cap.covers("billing", "high")


def test_a_sound_policy_is_not_doubted() -> None:
    assert doubts(POLICY_EXAMPLE) == []
    assert doubts({}) == []


def test_a_cap_that_leaves_room_for_none() -> None:
    assert doubted({"caps": [{"at_most": 0, "within": "1d"}]}) == ["caps.0.at_most"]
    tiered = {"caps": [{"at_most": {"high": 2, "low": 0, "tech": 1}, "within": "1d"}]}
    assert doubted(tiered) == ["caps.0.at_most.low"]
    assert doubted({"caps": [{"at_most": 1, "within": "1d"}]}) == []


def test_a_tier_without_a_cap() -> None:
    some = {"at_most": {"high": 1, "low": 1}, "within": "1d"}
    assert doubts({"caps": [some]}) == [
        "caps: no cap holds for the tier tech; if that is meant, give it a high number"
    ]
    assert doubted({"caps": [some, {"at_most": {"tech": 9}, "within": "1d"}]}) == []
    assert doubted({"hours": WORK}) == [], "a policy without caps caps nobody, and means it"


@pytest.mark.parametrize(
    ("caps", "idle"),
    [
        ([{"at_most": 2, "within": "7d"}, {"at_most": 2, "within": "1d"}], ["caps.1"]),
        ([{"at_most": 2, "within": "1d"}, {"at_most": 2, "within": "7d"}], ["caps.0"]),
        ([{"at_most": 2, "within": "7d"}, {"at_most": 2, "within": "1w"}], ["caps.1"]),
        (
            [{"at_most": 2, "within": "7d"}, {"at_most": 3, "within": "7d", "except_topics": ["x"]}],
            ["caps.1"],
        ),
        ([{"at_most": 2, "within": "7d", "except_topics": ["x"]}, {"at_most": 3, "within": "7d"}], []),
        ([{"at_most": 2, "within": "7d"}, {"at_most": 1, "within": "1d"}], []),
        ([{"at_most": 2, "within": "7d"}, {"at_most": 2, "within": "1d", "per": "account"}], []),
        ([{"at_most": 2, "within": "7d"}, {"at_most": {"high": 1}, "within": "1d"}], []),
        ([{"at_most": 2, "within": "7d"}, {"at_most": {"high": 3}, "within": "1d"}], ["caps.1"]),
    ],
)
def test_a_cap_behind_a_stricter_one(caps: list[dict[str, Any]], idle: list[str]) -> None:
    assert doubted({"caps": caps}) == idle


def test_a_mail_that_may_wait_less_than_the_weekend() -> None:
    (doubt,) = doubts({"hours": WORK, "wait_at_most": "61h"})
    assert doubt.startswith(
        "wait_at_most: is shorter than the time from fri 18:00 to mon 08:00: what falls due"
    )
    assert doubted({"hours": WORK, "wait_at_most": "62h"}) == []
    once = {"from": "08:00", "to": "08:01", "days": ["wed"]}
    assert doubted({"hours": once, "wait_at_most": "6d"}) == ["wait_at_most"]
    assert doubted({"hours": once, "wait_at_most": "7d"}) == []


def test_a_holiday_that_stands_there_twice() -> None:
    twice = {"holidays": ["2026-12-25", "2027-01-01", "2026-12-25", "2026-12-25"]}
    assert doubts(twice) == [f"holidays.{place}: 2026-12-25 is holidays.0 already" for place in (2, 3)]
    assert doubted({"holidays": ["2026-12-25", "2027-12-25"]}) == []


def test_holidays_that_last_longer_than_a_mail_may_wait() -> None:
    (doubt,) = doubts({"holidays": CHRISTMAS})
    assert doubt.startswith(
        "holidays.0: nothing begins from 2026-12-20 00:00 to 2026-12-28 00:00, longer than"
    )
    assert doubted({"holidays": CHRISTMAS[:7]}) == []
    assert doubted({"holidays": [*CHRISTMAS[:4], *CHRISTMAS[5:]]}) == []
    friday = {"hours": WORK, "holidays": ["2026-12-31", "2026-12-25"]}
    assert doubted({**friday, "wait_at_most": "3d"}) == ["holidays.1"]
    assert doubted({**friday, "wait_at_most": "86h"}) == [], "from Thursday 18:00 to Monday 08:00"
    assert doubted({"holidays": ["2000-01-01", "2999-12-31"], "wait_at_most": "1d"}) == []
