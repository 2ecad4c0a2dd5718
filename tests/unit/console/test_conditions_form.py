"""Conditions as rows of a form: what rows can say they say exactly, and what they cannot stays YAML."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.conditions_form import Row, condition_of, rows_of

ODD = {"any": [{"data.a": 1, "data.b": 2}]}  # what rows cannot say
anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
scalars = st.booleans() | st.integers(-(10**15), 10**15) | st.floats(-1e9, 1e9) | st.text(max_size=8)
operands = scalars | st.fixed_dictionaries(
    {},
    optional={"gte": scalars, "ne": scalars, "in": st.lists(scalars, min_size=1), "exists": st.booleans()},
).filter(bool)  # fmt: skip


@given(st.dictionaries(st.text("abc.", min_size=1, max_size=5), operands, min_size=1, max_size=4))
def test_rows_say_what_the_condition_says_or_are_none(condition: dict[str, Any]) -> None:
    rows = rows_of(condition)
    if rows is not None:
        found, problems = condition_of(rows, "where")
        assert problems == []
        assert repr(found) == repr(condition)


def test_rows_say_that_one_must_hold_or_none() -> None:
    rows = [
        Row("a", "gt", "1"),
        Row("b", "eq", "x", "any"),
        Row("b", "eq", "y", "any"),
        Row("c", "exists", "true", "not"),
    ]
    condition = {"a": {"gt": 1}, "any": [{"b": "x"}, {"b": "y"}], "not": {"c": {"exists": True}}}
    assert condition_of(rows, "where") == (condition, [])
    assert rows_of(condition) == rows
    both = [*rows[-1:], Row("d", "eq", "2", "not")]
    assert condition_of(both, "where")[0] == {"not": {"any": [{"c": {"exists": True}}, {"d": 2}]}}
    assert rows_of({"not": {"any": [{"c": {"exists": True}}, {"d": 2}]}}) == both
    assert condition_of([Row("a", "eq", "1", "perhaps")], "where")[1][0].field == "where"


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "any", "not", "all"]),
        anything
        | st.lists(
            st.fixed_dictionaries({}, optional={"a": operands, "b": operands, "any": anything}), max_size=3
        ),
        max_size=3,
    )
)
def test_nested_conditions_are_said_exactly_or_are_none(condition: dict[str, Any]) -> None:
    rows = rows_of(condition)
    if rows is not None:
        found, problems = condition_of(rows, "where")
        assert problems == []
        assert rows_of(found) == rows
        assert {"any", "not", "all"} & (found or {}).keys() == {"any", "not", "all"} & condition.keys()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("high", "high"),
        (10, "10"),
        ("10", '"10"'),
        (True, "true"),
        ("true", '"true"'),
        (" a", '" a"'),
        ("", '""'),
    ],
)
def test_texts_that_look_like_something_else_are_quoted(value: Any, text: str) -> None:
    assert rows_of({"data.x": value}) == [Row("data.x", "eq", text)]


def test_lists_hold_commas() -> None:
    rows = rows_of({"data.x": {"in": ["a,b", "c", 1]}})
    assert rows == [Row("data.x", "in", '"a,b", c, 1')]


@pytest.mark.parametrize(
    "condition",
    [
        ODD,
        {"all": [{"data.a": 1}]},
        {"not": {"data.a": 1, "data.b": 2}},
        {"any": []},
        {"any": {"data.a": 1}},
        {"any": [{"any": [{"data.a": 1}]}]},
        {"not": {"any": [{"data.a": 1}]}},
        {"data.a": {"eq": [1]}},
        [1],
        {"data.a": {"like": 1}},
        {"a": "x\ny"},
    ],
)
def test_what_rows_cannot_say_is_yaml(condition: Any) -> None:
    assert rows_of(condition) is None


def test_rows_that_say_nothing_or_twice_are_told_so() -> None:
    assert condition_of([Row(), Row(" ", "eq", " ")], "where") == (None, [])
    for rows in ([Row("", "eq", "x")], [Row("a", "eq", "1"), Row("a", "eq", "2")], [Row("any", "eq", "1")]):
        assert len(condition_of(rows, "where")[1]) == 1
