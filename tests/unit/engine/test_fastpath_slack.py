"""Slack: the bit-sliced counters count like plain ones, and no rule is passed over that could fire."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rule import TiersDoc
from services.rules.engine.fastpath.rule_group import PLANES, RuleGroup, Thresholds
from services.rules.engine.fastpath.shared_series import FEW_ROWS, HEAD, MASK, bits
from services.rules.engine.fastpath.slack import Slack
from services.rules.engine.ruleset import compile_rules
from services.rules.engine.windows.series import FOREVER
from tests.unit.engine.world import TECH, World, rule

MOST = 1 << PLANES


def tick(**body: Any) -> dict[str, Any]:
    return {"threshold": {"event": "tick", "within": "1d", **body}}


def thresholds(*bodies: dict[str, Any]) -> Thresholds:
    """Of one rule group with a rule per body, in the tier `tech`."""
    rules = [rule(tick(**body), f"r{n}") for n, body in enumerate(bodies)]
    [group] = compile_rules(1, rules, TiersDoc.model_validate(TECH)).layout.groups.values()
    assert isinstance(group, RuleGroup)
    return Thresholds(group, "tech")


def counts(slack: Slack, rules: int) -> list[int]:
    """Each rule's slack, read from the planes: events that may come before it is looked at, that one included."""
    return [1 + sum((plane >> bit & 1) << i for i, plane in enumerate(slack.planes)) for bit in range(rules)]


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=5),
    st.lists(
        st.tuples(st.sampled_from(("consume", "set")), st.integers(0, 31), st.integers(1, 100)), max_size=80
    ),
)
def test_the_counters_count_like_plain_ones(needed: list[int], steps: list[tuple[str, int, int]]) -> None:
    made = thresholds(*({"at_least": n} for n in needed))
    slack = Slack(made, [])
    plain = [min(n, MOST) for n in needed]
    assert counts(slack, len(needed)) == plain
    for what, mask, events in steps:
        mask &= (1 << len(needed)) - 1
        if what == "set":
            for bit in bits(mask):
                slack.set_events(bit, events)
                plain[bit] = min(events, MOST)
            continue
        used_up = slack.consume(made, mask, [0, 0, mask], 0)
        assert used_up == sum(1 << bit for bit in bits(mask) if plain[bit] == 1)
        slack.look_next(used_up)
        plain = [max(1, n - 1) if mask >> bit & 1 else n for bit, n in enumerate(plain)]
        assert counts(slack, len(needed)) == plain


def test_a_sum_is_used_up_by_amounts_and_not_by_negative_ones() -> None:
    made = thresholds({"at_least": 10, "aggregate": "sum", "of": "data.x"})
    slack = Slack(made, [])
    assert [
        slack.consume(made, 1, [0, 0, 1, millionths], 0) for millionths in (4_000_000, -9_000_000, 5_999_999)
    ] == [0, 0, 0]
    assert slack.sums == {0: 1}
    assert slack.consume(made, 1, [0, 0, 1, 1], 0) == 1


def test_it_is_made_from_the_rows_but_the_last() -> None:
    made = thresholds({"at_least": 5})
    rows = [number for n in range(4) for number in (n, n, 1)]
    assert counts(Slack(made, rows), 1) == [2]


def test_a_rule_that_cools_down_is_not_live_until_its_cooldown_is_over() -> None:
    slack = Slack(thresholds({"at_least": 5}, {"at_least": 6}), [])
    slack.cool_down(0, 700)
    slack.cool_down(1, 500)
    assert (slack.live, slack.wake) == (0b00, 500)
    slack.warm_up(500)
    assert (slack.live, slack.wake) == (0b10, 700)
    slack.warm_up(700)
    assert (slack.live, slack.wake) == (0b11, FOREVER)


@pytest.mark.parametrize("needed", [1, 2, 15, 16, 17, 63, 64, 65, 130])
def test_the_event_that_completes_a_count_fires_and_none_before(needed: int) -> None:
    world = World(rule(tick(at_least=needed), "r"), rule(tick(at_least=20), "other", status="paused"))
    for n in range(needed - 1):
        world.ev(f"01-01T{n // 60:02}:{n % 60:02}")
    assert world.told == []
    assert len(world.ev("01-01T03:00").told) == 1


def test_a_series_that_shrank_to_few_rows_is_counted_anew() -> None:
    """While there are few rows nobody brings the slack up to date: it has to go, or it would be too much later."""
    world = World(rule(tick(at_least=FEW_ROWS + 4), "r", cooldown="0s"))
    for n in range(FEW_ROWS + 2):
        world.ev(f"01-01T00:{n:02}")
    state = world.accounts.states["acme"]
    for n in range(80):  # of another type: they make a sweep come, long after
        world.ev(f"01-20T{n // 60:02}:{n % 60:02}", "other")
    assert (state.shared, state.slack) == ({}, {})
    for n in range(FEW_ROWS + 4):
        world.ev(f"01-21T01:{n:02}")
    assert world.told == [f"r acme 01-21T01:{FEW_ROWS + 3:02}"]


def test_amounts_stand_behind_the_head() -> None:
    made = thresholds({"at_least": 1}, {"at_least": 10, "aggregate": "sum", "of": "data.x"})
    assert (made.amounts_at, MASK) == ([0, HEAD], HEAD - 1)
