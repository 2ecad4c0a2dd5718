"""Blanks in URLs and headers: where they may stand, and that no value gets out of its place."""

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.blanks import BlankError, blanks, fill_header, fill_url, templates_of
from schemas.endpoint import EndpointIn

URL = "https://crm.test/companies/{{ id }}/notes?by={{ who }}"


def saved(**fields: Any) -> EndpointIn:
    return EndpointIn.model_validate({"name": "crm", "url": "https://crm.test/", **fields})


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "http://crm.test/{{a}}{{ b | one }}",
        "https://crm.test?q={{ a }}",
        "https://${HOST}.test/{{ a['b'] }}",
    ],
)
def test_where_a_blank_may_stand(url: str) -> None:
    assert saved(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://{{ account.attributes.host }}/x", "https://crm.test{{ a }}/x", "https://crm.test:{{ port }}/x",
        "https://{{ a }}@crm.test/x", "{{ a }}://crm.test/x", "{{ a }}", "https:///{{ a }}",
        "https://crm.test/x#{{ a }}",
        "https://crm.test/{{ a", "https://crm.test/a }}", "https://crm.test/{{ }}",
        "https://crm.test/{% if a %}{{ a }}",
        "https://crm.test/{# a #}{{ a }}", "https://crm.test/a b/{{ a }}",
    ],
)  # fmt: skip
def test_where_it_may_not(url: str) -> None:
    with pytest.raises(ValidationError):
        saved(url=url)


@pytest.mark.parametrize("value", ["{{ a", "{% if a %}{{ a }}", "{{ a }}\r\nX: y", "{{ }}"])
def test_no_header_has_half_a_blank(value: str) -> None:
    with pytest.raises(ValidationError):
        saved(headers={"X-Id": value})


def test_what_is_checked_and_rendered_of_an_endpoint() -> None:
    headers = {"X-Key": "secret", "Idempotency-Key": "a-{{ action.id }}"}
    one = saved(url=URL, headers=headers, body={"text": "{{ tier }}"})
    assert dict(one.texts()) == {
        "body.text": "{{ tier }}", "url": URL, "headers.Idempotency-Key": "a-{{ action.id }}",
    }  # fmt: skip
    found = templates_of(one.model_dump())
    assert found.blanks == {"url": ["id", "who"], "headers.Idempotency-Key": ["action.id"]}
    assert "secret" not in str(found)


VALUES = st.text(min_size=1, max_size=40) | st.integers()


@given(VALUES, VALUES)
@example("../../admin", "1&admin=true")
@example("@evil.test/", "#")
@example("a\r\nHost: evil.test", "%2e%2e")
def test_a_value_stays_where_it_stands(first: Any, second: Any) -> None:
    assume(str(first).strip() and str(second).strip() and str(first) not in (".", ".."))
    assume(str(second) not in (".", ".."))
    assume(not any("\ud800" <= char <= "\udfff" for char in f"{first}{second}"))
    parts = urlsplit(fill_url(URL, {"id": first, "who": second}))
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "crm.test", "")
    _, companies, found, notes = parts.path.split("/")
    assert (companies, unquote(found), notes) == ("companies", str(first), "notes")
    name, _, value = parts.query.partition("=")
    assert (name, unquote(value)) == ("by", str(second))
    assert "&" not in parts.query


@pytest.mark.parametrize(
    "value", [None, "", "  ", [], ["a"], ["a", "b"], {"a": 1}, True, ".", "..", "x" * 1_025]
)
def test_what_is_no_value_fills_no_blank(value: Any) -> None:
    with pytest.raises(BlankError, match="id"):
        fill_url(URL, {"id": value, "who": "ann"})


def test_two_dots_do_not_come_together() -> None:
    with pytest.raises(BlankError, match="elsewhere"):
        fill_url("https://crm.test/a/.{{ id }}/notes", {"id": "./.."[:1]})


def test_a_blank_that_nobody_filled_in() -> None:
    with pytest.raises(BlankError, match="changed after the step ran"):
        fill_url(URL, {"id": "9"})


def test_a_header_takes_what_can_be_seen() -> None:
    assert fill_header("X-Id", "a {{ id }}", {"id": 'b "c"'}) == 'a b "c"'


@pytest.mark.parametrize("value", ["a\r\nX-Admin: yes", "a\n", "ü", "\x00", "\t", " a", "a\x7f"])
def test_no_value_makes_another_header(value: str) -> None:
    with pytest.raises(BlankError, match=r"headers\.X-Id"):
        fill_header("X-Id", "{{ id }}", {"id": value})


def test_text_without_blanks_stays() -> None:
    assert (blanks("a } b"), fill_url("https://crm.test/?a=1#b", {})) == ([], "https://crm.test/?a=1#b")
