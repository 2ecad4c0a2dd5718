"""Generated handlers: what they test, whom they ask in which order, and that nothing of a document becomes code."""

from typing import Any

from schemas.rule import TiersDoc
from services.rules.engine.fastpath.codegen import handler_source, handlers_for
from services.rules.engine.fastpath.shared_series import EMPTY
from services.rules.engine.ruleset import RuleRevision, RuleSet, compile_rules
from tests.unit.engine.world import TECH, World, rule

GONE = {"absence": {"event": "tick", "for": "3d"}}


def tick(**body: Any) -> dict[str, Any]:
    return {"threshold": {"event": "tick", "within": "1d", **body}}


def compiled(*rules: RuleRevision) -> RuleSet:
    return compile_rules(1, rules, TiersDoc.model_validate(TECH))


def source(*rules: RuleRevision) -> str:
    made = compiled(*rules)
    return handler_source(made.listeners("tick"), made.layout)


def judged(text: str) -> list[str]:
    """The lines that judge and ask, in order."""
    return [line.strip() for line in text.splitlines() if "engine.judge(" in line or "engine.ask(" in line]


def test_no_listener_no_handler() -> None:
    assert handlers_for([], EMPTY) is None


def test_there_is_one_handler_per_tier_and_only_its_constants_differ() -> None:
    made = compiled(rule(tick(at_least={"high": 2, "tech": 5})))
    handlers = handlers_for(made.listeners("tick"), made.layout)
    assert handlers is not None
    needed = {tier: one.__globals__["THRESHOLDS_0"].needed for tier, one in handlers.items()}
    assert (needed["high"], needed["tech"]) == ([2], [5])
    assert len({one.__code__ for one in handlers.values()}) == 1


def test_a_path_that_many_rules_read_is_looked_up_once() -> None:
    text = source(*(rule(tick(at_least=2, where={"data.x": n}), f"r{n}") for n in range(5)))
    assert text.count("data.get('x')") == 1
    assert text.count("matched_0 |= ") == 5


def test_rules_are_judged_and_asked_in_their_order() -> None:
    text = source(
        rule(tick(at_least=2), "a"), rule(GONE, "b"), rule(tick(at_least=3), "c"), rule(tick(at_least=4), "d")
    )
    first, second, third = judged(text)
    assert "due_0 & 1" in first
    assert second == "engine.ask(RULE_1, state, time, offset, event)  # 'b'"
    assert "due_0 & 6" in third


def test_rules_that_share_nothing_are_asked_and_nothing_else() -> None:
    text = source(rule(GONE))
    assert judged(text) == ["engine.ask(RULE_0, state, time, offset, event)  # 'r'"]
    assert "state.shared" not in text


def test_an_event_counts_once_for_rules_that_share_and_for_those_that_do_not() -> None:
    world = World(
        rule(tick(at_least=2), "shared"), rule(tick(at_least=2), "keyed", by="data.x"), rule(GONE, "gone")
    )
    world.ev("01-01T09:00", x="k").ev("01-01T10:00", x="k").clock("01-05T00:00")
    assert world.told == ["shared acme 01-01T10:00", "keyed acme#k 01-01T10:00", "gone acme 01-04T10:00"]


def test_a_sum_ignores_what_is_no_number_and_a_distinct_what_is_no_scalar() -> None:
    world = World(
        rule(tick(at_least=3, aggregate="sum", of="data.x"), "sum"),
        rule(tick(at_least=2, aggregate="distinct", of="data.x"), "distinct"),
    )
    world.ev("01-01T09:00", x=1).ev("01-01T10:00", x={"y": 3}).ev("01-01T11:00", x=True).ev("01-01T12:00")
    assert world.told == ["distinct acme 01-01T11:00"]
    assert world.ev("01-01T13:00", x=2).told[1:] == ["sum acme 01-01T13:00"]


def test_nothing_of_a_document_becomes_code() -> None:
    nasty = "'] or exec('raise SystemExit') #\n\\"
    world = World(rule(tick(at_least=1, where={"data.x": nasty, f"data.{nasty}": {"exists": False}})))
    assert world.ev("01-01T09:00", x=nasty).told == ["r acme 01-01T09:00"]
