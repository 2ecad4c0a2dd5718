"""Typed values: a string that is one expression and nothing else gives its value, anything else its text."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.actions.rendering.compose import answer
from services.actions.rendering.jobs import PART_CHARS, Body, Failure, TextJob

SCOPE: dict[str, Any] = {
    "n": 5,
    "f": 2.5,
    "whole": 3.0,
    "yes": True,
    "no": None,
    "text": "7",
    "list": [1, "a", None],
    "map": {"a": {"b": 1}},
}


def filled(body: Any, *, typed: bool = True, **scope: Any) -> Any:
    made = answer(TextJob(body=body, context=SCOPE | scope, typed=typed))
    return made.body if isinstance(made, Body) else made


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ n }}", 5), ("{{n}}", 5), ("{{- n -}}", 5), ("{{ f }}", 2.5), ("{{ whole }}", 3), ("{{ yes }}", True),
        ("{{ no }}", None), ("{{ text }}", "7"), ("{{ list }}", [1, "a", None]), ("{{ map }}", {"a": {"b": 1}}),
        ("{{ map.a.b + n }}", 6), ("{{ text | int }}", 7), ("{{ n if yes else no }}", 5), ("{{ n > 4 }}", True),
        ("{{ {'a': [n]} }}", {"a": [5]}), ("{{ list | map('string') | list }}", ["1", "a", ""]),
        ("{{ '}}' }}", "}}"), ("{{ 10 ** 30 }}", 10**30), ("{{ text ~ n }}", "75"),
        # more than one expression, or something beside it: text
        (" {{ n }}", " 5"), ("{{ n }} ", "5 "), ("{{ n }}\n{{ n }}", "5\n5"), ("{{ n }}{{ n }}", "55"),
        ("n: {{ n }}", "n: 5"),
        ("{{ no }}{{ no }}", ""), ("{% if yes %}{{ n }}{% endif %}", "5"), ("{{ n }}{# but #}{{ f }}", "52.5"),
        ("5", "5"),
        ("", ""), ("{{ '{{' }} and }}", "{{ and }}"),
    ],
)  # fmt: skip
def test_the_value_and_its_type(source: str, value: Any) -> None:
    got = filled({"a": [source]})["a"][0]
    assert (type(got), got) == (type(value), value)


def test_titles_of_tasks_stay_text() -> None:
    assert filled({"title": "{{ n }}", "key": "{{ no }}"}, typed=False) == {"title": "5", "key": ""}


NO_VALUE = [
    "{{ unknown }}", "{{ map.z }}", "{{ map.keys }}", "{{ 1e308 * 10 }}", "{{ n / 0 }}", "{{ n.__class__ }}",
    "{{ ''.__class__.__mro__ }}", "{{ [unknown] }}", "{{ {'a': map.z} }}",
]  # fmt: skip


@pytest.mark.parametrize("source", NO_VALUE)
def test_what_has_no_value_fails(source: str) -> None:
    got = filled({"a": source})
    assert isinstance(got, Failure)
    assert (got.reason, got.field) == ("template_error", "a")


def test_a_value_may_not_be_larger_than_a_text() -> None:
    got = filled({"a": "{{ big }}"}, big=["x" * 1_000] * (PART_CHARS // 1_000 + 1))
    assert isinstance(got, Failure)
    assert got.reason == "template_limits"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_value_arrives_as_it_is(value: Any) -> None:
    assert msgspec.json.encode(filled({"a": "{{ v }}"}, v=value)["a"]) is not None
    assert filled({"a": "{{ v }}"}, v=value)["a"] == value


def test_an_error_names_the_line_of_the_template() -> None:
    for source in ("{{ [] | one }}", "{{\n [] | one }}"):
        failure = answer(TextJob(body={"id": source}, context={}, typed=True))
        assert isinstance(failure, Failure)
        assert (failure.field, failure.line, failure.message) == (
            "id",
            source.count("\n") + 1,
            "there is no value",
        )
