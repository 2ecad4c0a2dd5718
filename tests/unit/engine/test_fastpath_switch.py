"""Without the fast path the engine decides the same, by the path that the kinds define."""

from typing import Any

import pytest

from schemas.rule import TiersDoc
from services.rules.engine.ruleset import RuleSet, compile_rules
from tests.unit.engine.world import TECH, World, rule


def tick(**body: Any) -> dict[str, Any]:
    return {"threshold": {"event": "tick", "within": "1d", **body}}


RULES = [
    rule(tick(at_least=2), "count"),
    rule(tick(at_least=5, aggregate="sum", of="data.x"), "sum"),
    rule(tick(at_least=2, aggregate="distinct", of="data.x"), "distinct"),
]


def compiled(*, fastpath: bool) -> RuleSet:
    return compile_rules(2, RULES, TiersDoc.model_validate(TECH), fastpath=fastpath)


def played(*, fastpath: bool) -> World:
    """A world whose rules are those of `compiled` from its second revision on."""
    world = World()
    world.sets[2] = compiled(fastpath=fastpath)
    world.engine.rules = world.sets[2]
    return world.ev("01-01T09:00", x=2).ev("01-01T10:00", x=3).ev("01-01T09:30", x=4)


def test_it_is_on_unless_it_is_switched_off() -> None:
    assert compile_rules(2, RULES, TiersDoc.model_validate(TECH)).fastpath


def test_both_fire_the_same() -> None:
    fast, plain = played(fastpath=True), played(fastpath=False)
    assert fast.triggers == plain.triggers
    assert {trigger.rule for trigger in fast.triggers} == {"count", "sum", "distinct"}


@pytest.mark.parametrize("fastpath", [True, False])
def test_the_switch_says_whether_series_are_shared_and_functions_generated(fastpath: bool) -> None:
    world = played(fastpath=fastpath)
    state = world.accounts.states["acme"]
    assert (len(state.shared), len(state.stores)) == ((1, 0) if fastpath else (0, 3))
    assert bool(world.engine.rules.handlers) is fastpath
    assert bool(world.engine.rules.layout.groups) is fastpath
