"""Which rules share series, and what each needs in a tier."""

from typing import Any

import pytest

from schemas.rule import TiersDoc
from services.rules.engine.fastpath.rule_group import UNREACHED, RuleGroup, Thresholds, layout_of, shareable
from services.rules.engine.fastpath.shared_series import FEW_ROWS
from services.rules.engine.ruleset import RuleRevision, RuleSet, compile_rules
from tests.unit.engine.world import TECH, rule

PLAIN = {"event": "tick", "within": "1d", "at_least": 3}
STOP = {"threshold": {"event": "stop", "at_least": 1}}


def compiled(*rules: RuleRevision) -> RuleSet:
    return compile_rules(1, rules, TiersDoc.model_validate(TECH))


def shares(when: dict[str, Any], **more: Any) -> bool:
    return shareable(compiled(rule(when, **more)).rules[0]) is not None


@pytest.mark.parametrize(
    "body",
    [
        {}, {"where": {"data.x": 1}}, {"event": ["tick", "tock"]}, {"event": "*"}, {"above": 2, "at_least": None},
        {"aggregate": "sum", "of": "data.x"}, {"aggregate": "distinct", "of": "data.x"},
    ],
)  # fmt: skip
def test_rising_counts_sums_and_distincts_of_a_window_share(body: dict[str, Any]) -> None:
    assert shares({"threshold": {name: value for name, value in (PLAIN | body).items() if value is not None}})


@pytest.mark.parametrize(
    "body",
    [
        {"within": None}, {"at_least": None, "at_most": 3}, {"since": {"event": "start"}}, {"aggregate": "days"},
        {"aggregate": "max", "of": "data.x"}, {"aggregate": "sum", "of": "account.attributes.seats"},
        {"per": "account.attributes.seats"}, {"event": ["tick", "touchline.email.sent"]},
        {"event": ["tick", "account.updated"]},
    ],
)  # fmt: skip
def test_other_thresholds_do_not(body: dict[str, Any]) -> None:
    assert not shares(
        {"threshold": {name: value for name, value in (PLAIN | body).items() if value is not None}}
    )


@pytest.mark.parametrize("more", [{"by": "data.x"}, {"scope": "contact"}, {"unless": STOP}])
def test_nor_do_rules_that_look_at_more_than_the_account(more: dict[str, Any]) -> None:
    assert not shares({"threshold": PLAIN}, **more)


def test_nor_do_other_kinds() -> None:
    assert not shares({"absence": {"event": "tick", "for": "3d"}})


def test_a_group_is_of_rules_that_want_the_same_types_in_any_order() -> None:
    named = [["a", "b"], "a", ["b", "a"], "*"]
    rules = compiled(
        *(rule({"threshold": {**PLAIN, "event": event}}, f"r{n}") for n, event in enumerate(named))
    )
    groups = [group for group in rules.layout.groups.values() if isinstance(group, RuleGroup)]
    assert sorted([one.name for one, _ in group.rules] for group in groups) == [["r0", "r2"], ["r1"], ["r3"]]
    assert {group.key for group in groups} == set(layout_of(rules.rules).groups)  # the same each time


def test_rules_share_a_column_if_they_count_the_same_amounts() -> None:
    bodies = [
        {"aggregate": "sum", "of": "data.x"}, {"aggregate": "sum", "of": "data.x", "within": "7d"},
        {"aggregate": "distinct", "of": "data.x"}, {},
    ]  # fmt: skip
    rules = compiled(*(rule({"threshold": PLAIN | body}, f"r{n}") for n, body in enumerate(bodies)))
    [group] = rules.layout.groups.values()
    assert isinstance(group, RuleGroup)
    assert (len(group.columns), group.width) == (2, 5)
    assert group.span == 7 * 86_400_000_000
    assert Thresholds(group, "tech").amounts_at == [3, 3, 4, 0]


def test_what_rules_need_goes_by_tier() -> None:
    bodies = [
        {"at_least": {"high": 2, "tech": 40}}, {"at_least": None, "above": 2},
        {"at_least": {"high": 1.5}, "aggregate": "sum", "of": "data.x"},
        {"at_least": {"tech": 2}, "aggregate": "distinct", "of": "data.x"},
    ]  # fmt: skip
    whole = [{name: value for name, value in (PLAIN | body).items() if value is not None} for body in bodies]
    [group] = compiled(
        *(rule({"threshold": body}, f"r{n}") for n, body in enumerate(whole))
    ).layout.groups.values()
    assert isinstance(group, RuleGroup)
    high, tech = Thresholds(group, "high"), Thresholds(group, "tech")
    assert high.needed == [2, 3, 1_500_000, UNREACHED]
    assert (high.reachable, high.by_sum, high.distinct, high.by_events) == (0b0111, 0b0100, 0, 0b0011)
    assert (high.least_length, high.least_total) == (2 * group.width, 1_500_000)
    assert tech.needed == [40, 3, UNREACHED, 2]
    assert (tech.reachable, tech.by_sum, tech.distinct, tech.by_events) == (0b1011, 0, 0b1000, 0b1011)
    assert (tech.least_length, tech.least_total) == (2 * group.width, UNREACHED)


def test_long_counts_have_slack_from_few_rows_on() -> None:
    [group] = compiled(rule({"threshold": {**PLAIN, "at_least": 1000}})).layout.groups.values()
    assert isinstance(group, RuleGroup)
    assert Thresholds(group, "tech").least_length == FEW_ROWS * group.width


def test_a_paused_rule_can_reach_nothing() -> None:
    [group] = compiled(rule({"threshold": PLAIN}, status="paused")).layout.groups.values()
    assert isinstance(group, RuleGroup)
    made = Thresholds(group, "tech")
    assert (made.needed, made.reachable) == ([UNREACHED], 0)
    assert made.least_length >= UNREACHED
