"""Expressions: the functions that there are, and what none may cost."""

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.source_expressions import MAX_EXPRESSION, BadExpression, parsed
from services.ingest.sources.expressions import MOST_STEPS, Evaluator, TooCostly, domain_of

BODY = {
    "a": [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}, {"n": 3}],
    "mail": "Ann <Ann@Acme.TEST>",
    "deep": [[1, [2]], [3], 4],
    "s": "b",
}


def value(text: str, element: Any = BODY, body: Any = BODY, headers: dict[str, str] | None = None) -> Any:
    return Evaluator(body, headers or {}, len(json.dumps(body))).value(parsed(text), element)


@pytest.mark.parametrize(
    "text",
    [
        "a[?n > `1`].t", "a[*].n", "deep[]", "deep[][]", "a[-1]", "a[::-1].n", "{x: s, y: a[0]}", "[s, mail]", "!s",
        "a[?t == 'x'] | [0]", "s || mail", "s && nothing", "*", "a[?t != null].n", "s < 'c'", "a == deep", "a == a",
        "`{\"k\": [1]}`", "s < `1`", "a < `1`",
    ],
)  # fmt: skip
def test_as_jmespath_itself(text: str) -> None:
    try:
        wanted = jmespath.search(text, BODY)
    except TypeError:
        wanted = None  # a text and a number have no order
    assert value(text) == wanted


def test_the_functions() -> None:
    assert value("body().s", element={"s": "other"}) == "b"
    assert value("header('X-Kind')", headers={"x-kind": "push"}) == "push"
    assert value("lower(mail)") == "ann <ann@acme.test>"
    assert value("domain_of(mail)") == "acme.test"
    assert value("minor_units(`119900`, 'usd')") == 1199
    assert value("object(s, `1`)") == {"b": 1}
    assert value("a[].[object(t, n)]") == [[{"x": 1}], [{"y": 2}], [None]]


@pytest.mark.parametrize(
    "text",
    [
        "lower(a)",
        "lower(nothing)",
        "header(a)",
        "header('none')",
        "domain_of(s)",
        "object(a, s)",
        "minor_units(s, s)",
    ],
)
def test_what_a_function_does_not_take_gives_null(text: str) -> None:
    assert value(text) is None


OWN = (
    "abs avg contains ceil ends_with floor join keys length map max max_by merge min min_by not_null reverse sort "
    "sort_by starts_with sum to_array to_string to_number type values"
)


@pytest.mark.parametrize("name", OWN.split())
def test_none_of_jmespaths_own_functions_is_there(name: str) -> None:
    with pytest.raises(BadExpression, match=rf"no function {name}\(\)"):
        parsed(f"{name}(@)")
    assert Evaluator({}, {}, 0).call_function(name, [BODY]) is None


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a[", "a..b", "lower()", "lower(a, b)", "body(@)", "&a", "lower(&a)", "a[::0]", "(" * 500 + "a",
        "(" * 5_000, "!" * 100 + "a", "a" * (MAX_EXPRESSION + 1), "[" + "a," * 600 + "a]", "'", "a b", "\0",
        "a" + "[0" * 900, "!a.b", "c && !body().a.b", "!a[?b]", "!a[].b", "!a.*", "[?!a.b]",
    ],
)  # fmt: skip
def test_what_no_source_may_save(text: str) -> None:
    with pytest.raises(BadExpression):
        parsed(text)


def nested(depth: int) -> str:
    return "body()[?" * depth + "@" + " == `1`]" * depth


MANY = [0] * 50_000
LONG = ["x" * 400_000, "x" * 400_000]
HOSTILE: list[tuple[str, Any]] = [
    (nested(4), [1] * 500),  # the size to the fourth power
    (" | ".join(["[@, @]"] * 20 + ["[][]"] * 10), 1),  # doubles
    (" | ".join(["[@, @][]"] * 30), [1]),
    (" | ".join(["[*].body()[]"] * 10), [1] * 1_000),
    ("[*].[body()[:-1], body()[:-1]]", MANY),
    ("[?body()[0] == @]", [[0] * 50_000] * 50),
    ("[*].[" + ",".join(["body()[0] == body()[1]"] * 60) + "]", LONG * 50),
    ("[*].[" + ",".join(["lower(body()[0])"] * 60) + "]", LONG * 50),
    ("[*].[" + ",".join(["body()[0] < body()[1]"] * 60) + "]", LONG * 50),
]


@pytest.mark.parametrize(("text", "body"), HOSTILE)
def test_what_would_never_end_is_stopped(text: str, body: Any) -> None:
    """Within steps, each of which takes a bounded time; not by a clock."""
    evaluator = Evaluator(body, {}, 1_048_576)
    assert evaluator.left == MOST_STEPS
    with pytest.raises(TooCostly):
        evaluator.value(parsed(text), body)


@given(
    st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_the_budget_grows_with_the_body_and_what_is_plain_never_spends_it(body: Any) -> None:
    evaluator = Evaluator(body, {}, len(json.dumps(body)))
    for text in ("@", "a.b", "*", "[].a", "[?a == @]", "{a: a, b: @}"):
        evaluator.value(parsed(text), body)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ann@Acme.test ", "acme.test"),
        ("Ann <ann@acme.test>", "acme.test"),
        ('"ann@home.test" <ann@acme.test>', "acme.test"),
        ("ann@acme.test, bob@beta.test", None),  # of two people, neither's account
        ("ann@acme.test;bob@beta.test", None),
        ("a@b@acme.test", None),
        ("@acme.test", None),
        ("acme.test", None),
        ("ann@", None),
        ("<>", None),
    ],
)
def test_the_domain_is_that_of_one_address(text: str, found: str | None) -> None:
    assert domain_of(text) == found
