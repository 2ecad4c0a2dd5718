"""Documents that may start themselves, and those that look like it and do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.conditions.codegen import Scope
from schemas.conditions.model import compile_condition, plain
from schemas.event import Event
from schemas.lint.loops import may_hold
from schemas.lint.outline import outline_playbook, outline_rule
from schemas.lint.together import lint_together
from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn

MAIL, CALL = {"email": {"template": "hello"}}, {"task": {"title": "Call"}}
SENT = "touchline.email.sent"


def rule(name: str, playbook: str, event: Any = SENT, where: Any = None, **fields: Any) -> RuleIn:
    body = {"event": event, "at_least": 1} | ({} if where is None else {"where": where})
    return RuleIn.model_validate({"name": name, "when": {"threshold": body}, "playbook": playbook, **fields})


def book(name: str, steps: Any) -> PlaybookIn:
    return PlaybookIn.model_validate({"name": name, "steps": steps})


def told(rules: list[RuleIn], *books: PlaybookIn) -> list[str]:
    outlines = {one.name: outline_playbook(one) for one in books}
    found = lint_together([outline_rule(one) for one in rules], outlines, {})
    views = {view for one in found for view in ((v.kind, v.name, v.doubt["message"]) for v in one)}
    return sorted(
        f"{kind} {name}: {message}" for kind, name, message in views if "may start itself" in message
    )


def names(rules: list[RuleIn], *books: PlaybookIn) -> list[str]:
    return [message.split(":")[0] for message in told(rules, *books)]


def test_a_rule_that_starts_itself() -> None:
    stops = "touchline.email.sent, which greet causes; it stops after three rounds (loop)"
    keep = "a where on data.playbook (such as {ne: greet}) keeps them apart"
    assert told([rule("again", "greet")], book("greet", [MAIL])) == [
        f"playbook greet: may start itself: again fires at {stops}",
        f"rule again: may start itself: it fires at {stops}; {keep}",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"where": {"data.playbook": "other"}},
        {"where": {"data.playbook": {"ne": "greet"}}},
        {"where": {"any": [{"data.playbook": {"in": ["a", "b"]}}, {"not": {"source": "touchline"}}]}},
        {"event": "login"},
        {"event": "*"},
        {"event": "touchline.webhook.failed"},
        {"event": "touchline.task.created"},
        {"event": "touchline.email.bounced"},
        {"event": "touchline.task.completed"},
        {"cooldown": "once"},
        {"playbook": "unknown"},
        {"playbook": "greet-tech", "when": {"threshold": {"event": SENT, "at_least": {"high": 1}}}},
    ],
)
def test_what_does_not_start_itself(fields: dict[str, Any]) -> None:
    when = fields.pop("when", None)
    made = rule("again", **({"playbook": "greet"} | fields))
    if when is not None:
        made = RuleIn.model_validate({"name": "again", "when": when, "playbook": made.playbook})
    assert told([made], book("greet", [MAIL]), book("greet-tech", {"tech": [MAIL]})) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"where": {"data.playbook": "greet"}},
        {"where": {"data.step": "0"}},
        {"where": {"account.attributes.status": {"ne": "churned"}}},
        {"event": ["login", "touchline.play.finished"]},
        {"event": "touchline.play.started"},
        {"cooldown": "30d"},
    ],
)
def test_what_may(fields: dict[str, Any]) -> None:
    assert names([rule("again", "greet", **fields)], book("greet", [MAIL])) == [
        "playbook greet",
        "rule again",
    ]


def test_the_rules_own_where_counts_too() -> None:
    apart = rule("again", "greet")
    apart = RuleIn.model_validate(
        apart.model_dump(exclude_unset=True) | {"where": {"data.playbook": "other"}}
    )
    assert told([apart], book("greet", [MAIL])) == []


def test_ways_round_through_others() -> None:
    one = rule("one", "greet", where={"data.playbook": "thank"})
    two = rule("two", "thank", "touchline.task.created", where={"data.playbook": "call"})
    three = rule("three", "call", "touchline.play.finished", where={"data.rule": "one"})
    books = [book("greet", [MAIL]), book("thank", [MAIL]), book("call", [CALL])]
    assert names([one, two, three], *books) == [
        "playbook call", "playbook greet", "playbook thank", "rule one", "rule three", "rule two",
    ]  # fmt: skip
    assert any(
        "may start itself through three and two: it fires at" in one
        for one in told([one, two, three], *books)
    )
    assert names([one, two], *books) == []
    aside = rule(
        "aside", "greet", where={"data.playbook": "thank"}
    )  # leads into nothing that comes back to it
    assert "rule aside" not in names([aside, two, three], *books)


def test_an_absence_that_arms_itself() -> None:
    when = {"absence": {"event": "login", "since": {"event": SENT}, "for": "3d"}}
    made = RuleIn.model_validate({"name": "again", "when": when, "playbook": "greet"})
    assert names([made], book("greet", [MAIL])) == ["playbook greet", "rule again"]
    unless = {"threshold": {"event": SENT, "at_least": 1, "within": "1d"}}
    login = RuleIn.model_validate(
        {
            "name": "again",
            "when": {"threshold": {"event": "login", "at_least": 1}},
            "unless": unless,
            "playbook": "greet",
        }
    )
    assert told([login], book("greet", [MAIL])) == []


VALUES = st.sampled_from(("a", "b", 1, True))
LEAVES = st.one_of(
    st.builds(lambda path, value: {path: value}, st.sampled_from(("data.playbook", "type", "data.x")), VALUES),
    st.builds(
        lambda path, op, value: {path: {op: [value] if op.endswith("in") else value}},
        st.sampled_from(("data.playbook", "data.x")), st.sampled_from(("ne", "in", "not_in", "eq")), VALUES,
    ),
    st.builds(lambda there: {"data.playbook": {"exists": there}}, st.booleans()),
)  # fmt: skip
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=8,
)


@given(CONDITIONS, VALUES)
def test_what_is_said_of_a_condition_is_true_of_every_event(condition: dict[str, Any], hidden: Any) -> None:
    event = Event(type="t", data={"playbook": "a", "x": hidden})
    holds = compile_condition(condition)(Scope(event=event))
    assert may_hold(plain(condition), {"type": "t", "data.playbook": "a"}) in (holds, None)
