"""Values that a document reads as numbers or dates: found wherever it reads, told of only where they do not work."""

# ruff: noqa: E501  vectors read better in one line
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.conditions.model import Scope, compile_condition
from schemas.event import Event
from schemas.lint.outline import RuleOutline, outline_playbook, outline_rule, outline_tiers
from schemas.lint.readings import ReadPath
from schemas.lint.values import Readers
from schemas.playbook import PlaybookIn
from schemas.profile import Profile
from schemas.rule import RuleIn, TiersDoc

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-5, 5)
    | st.sampled_from(["5", "2026-12-31", "x", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


def rule(when: dict[str, Any], **more: Any) -> RuleOutline:
    return outline_rule(RuleIn.model_validate({"name": "r", "when": when, **more}))


@given(VALUES)
def test_told_of_is_what_no_comparison_holds_for(value: Any) -> None:
    """The oracle is the comparison itself: with a number, either it holds or its opposite does."""
    read = Readers([rule({"threshold": {"event": "e", "where": {"data.n": {"gte": 0}}, "at_least": 1}})])
    event = Event(type="e", account="a", data={"n": value})
    scope = Scope(event, Profile("a"), None, "tech")
    works = any(compile_condition({"data.n": {operator: 0}})(scope) for operator in ("gte", "lt"))
    told = list(read.doubts(event))
    assert bool(told) == (not works and value is not None)


@pytest.mark.parametrize(
    ("when", "more", "expected"),
    [
        ({"threshold": {"event": ["e", "f"], "aggregate": "sum", "of": "data.n", "at_least": 1}}, {}, [("data.n", "number", ["e", "f"])]),
        ({"threshold": {"event": "e", "aggregate": "distinct", "of": "data.n", "at_least": 1}}, {}, []),
        ({"threshold": {"event": "e", "per": "account.attributes.seats", "at_least": 1}}, {}, [("account.attributes.seats", "number", [])]),
        ({"threshold": {"event": "e", "since": {"event": "s", "where": {"data.n": 5}}, "at_least": 1}}, {}, [("data.n", "number", ["s"])]),
        ({"threshold": {"event": "e", "where": {"data.n": "5"}, "at_least": 1}}, {}, []),
        ({"threshold": {"event": "e", "where": {"data.n": {"in": [1, 2]}}, "at_least": 1}}, {}, [("data.n", "number", ["e"])]),
        ({"threshold": {"event": "e", "where": {"data.n": {"in": [1, "x"]}}, "at_least": 1}}, {}, []),
        ({"threshold": {"event": "e", "where": {"data.n": {"exists": True}}, "at_least": 1}}, {}, []),
        ({"threshold": {"event": "e", "where": {"data.n": True}, "at_least": 1}}, {}, []),
        ({"threshold": {"event": "e", "at_least": 1}}, {"where": {"any": [{"not": {"data.n": {"lt": 1}}}]}}, [("data.n", "number", ["e"])]),
        ({"threshold": {"event": "e", "at_least": 1}}, {"unless": {"threshold": {"event": "u", "where": {"data.n": 1}, "at_least": 1}}}, [("data.n", "number", ["u"])]),
        ({"trend": {"event": "e", "aggregate": "sum", "of": "data.n", "over": "7d", "baseline": "7d", "falls_by": 1}}, {}, [("data.n", "number", ["e"])]),
        ({"date": {"attribute": "account.attributes.d", "before": "1d"}}, {}, [("account.attributes.d", "date", [])]),
        ({"becomes": {"is": {"account.attributes.n": {"gte": 1}}}}, {}, [("account.attributes.n", "number", [])]),
    ],
)  # fmt: skip
def test_what_a_rule_reads(when: Any, more: Any, expected: Any) -> None:
    assert rule(when, **more).reads == [ReadPath(*one) for one in expected]


def test_what_playbooks_and_tiers_read() -> None:
    steps = [
        {"wait": {"until_date": "account.attributes.d"}},
        {"wait": {"for": "1d", "until": {"event": "paid", "where": {"data.n": {"gt": 0}}}}},
        {
            "branch": {
                "if": {"account.attributes.n": {"gt": 0}},
                "then": [{"wait": {"until_date": "contact.attributes.d"}}],
            }
        },
    ]
    book = {"name": "b", "exit_when": {"event": "gone", "where": {"data.n": 1}}, "steps": steps}
    reads = outline_playbook(PlaybookIn.model_validate(book)).reads
    assert {(one.path, one.kind, *one.types) for one in reads} == {
        ("data.n", "number", "gone"), ("account.attributes.d", "date"), ("data.n", "number", "paid"),
        ("account.attributes.n", "number"), ("contact.attributes.d", "date"),
    }  # fmt: skip
    tiers = {"tiers": [{"tier": "high", "where": {"account.attributes.arr": {"gte": 1}}}, {"tier": "tech"}]}
    assert outline_tiers(TiersDoc.model_validate(tiers)).reads == [
        ReadPath("account.attributes.arr", "number")
    ]


def test_every_type_means_every_type_that_is_not_reserved() -> None:
    read = Readers([rule({"threshold": {"event": "*", "where": {"data.n": 1}, "at_least": 1}})])
    assert read.concern("anything")
    assert not read.concern("account.updated")
    assert [one.path for one in read.doubts(Event(type="x", data={"n": "1"}))] == ["n"]
    assert not list(read.doubts(Event(type="account.updated", data={"n": "1"})))
    assert not Readers().concern("x")


def test_long_values_are_cut() -> None:
    read = Readers([rule({"threshold": {"event": "e", "where": {"data.n": 1}, "at_least": 1}})])
    [found] = read.doubts(Event(type="e", data={"n": "x" * 500}))
    assert len(found.message) < 200
