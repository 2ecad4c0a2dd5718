"""The words that filters make of names, numbers, spans and times; and that nothing makes them fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from services.actions.rendering.filters import FILTERS
from services.actions.rendering.sandbox import HTML, PLAIN

NOW = "2026-03-10T09:00:00Z"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True, allow_infinity=True) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def shown(expression: str, value: Any, **account: Any) -> str:
    context = {"trigger": {"value": value}, "account": {"timezone": None, **account}, "now": NOW}
    return PLAIN.render("{{ trigger.value | " + expression + " }}", context)


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("Ann Lee", "Ann"),
        ("  Ann  ", "Ann"),
        ("Lee, Ann", "Ann"),
        ("Ann Lee, PhD", "Ann"),
        ("Dr. Ann Lee", "Ann"),
        ("Prof. Dr. Ann Lee", "Ann"),
        ("Dr. Lee", "Dr. Lee"),
        ("A. Lee", "A. Lee"),
        ("Mr", "Mr"),
        ("Anne-Marie O'Neil", "Anne-Marie"),
        ("李雷", "李雷"),
        ("ann@acme.test", "there"),
        ("", "there"),
        ("   ", "there"),
        (",", "there"),
        (None, "there"),
    ],
)
def test_a_first_name(name: str | None, called: str) -> None:
    assert shown("first_name", name) == called


def test_somebody_without_a_name_may_be_called_otherwise() -> None:
    assert shown("first_name('neighbour')", None) == "neighbour"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1, "1 ticket"),
        (2, "2 tickets"),
        (0, "0 tickets"),
        (12.0, "12 tickets"),
        (1200, "1,200 tickets"),
        (None, ""),
    ],
)
def test_a_number_of_things(value: float | None, said: str) -> None:
    assert shown("counted('ticket')", value) == said
    assert shown("counted('person', 'people')", 2) == "2 people"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1, "once"),
        (2.0, "twice"),
        (3, "3 times"),
        (0, "0 times"),
        (1200, "1,200 times"),
        ("often", "often"),
        (None, ""),
    ],
)
def test_how_often(value: Any, said: str) -> None:
    assert shown("times", value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.43, "43%"),
        (0.29, "29%"),
        (0.005, "1%"),
        (0.001, "less than 1%"),
        (0, "0%"),
        (1.2, "120%"),
        (None, ""),
    ],
)
def test_a_share(value: float | None, said: str) -> None:
    assert shown("percent", value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1d", "1 day"),
        ("7d", "7 days"),
        ("2w", "2 weeks"),
        ("12h", "12 hours"),
        ("90s", "90 seconds"),
        ("3mo", "3 months"),
        ("1y", "1 year"),
        ("soon", "soon"),
        (None, ""),
        ({"from": "2026-02-08T09:00:00Z", "to": "2026-03-10T09:00:00Z"}, "30 days"),
        ({"from": "2026-03-09T09:00:00Z", "to": "2026-03-10T09:00:00Z"}, "1 day"),
        ({"from": "2026-03-10T03:00:00Z", "to": "2026-03-10T09:00:00Z"}, "6 hours"),
        ({}, ""),
    ],
)
def test_a_span(value: Any, said: str) -> None:
    assert shown("duration", value) == said


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0, "today"),
        (-1, "yesterday"),
        (1, "tomorrow"),
        (-2, "2 days ago"),
        (3, "in 3 days"),
        (-7, "a week ago"),
        (7, "in a week"),
        (-14, "two weeks ago"),
        (28, "in four weeks"),
        (-30, "a month ago"),
        (-45, "45 days ago"),
        (61, "in two months"),
        (-365, "a year ago"),
        (-400, "13 months ago"),
        (-731, "two years ago"),
    ],
)
def test_a_time_from_now(days: int, said: str) -> None:
    moment = datetime.fromisoformat(NOW) + timedelta(days=days)
    assert shown("relative", moment.isoformat()) == said
    assert shown("relative", moment.date().isoformat()) == said


def test_days_are_those_of_the_accounts_calendar() -> None:
    late = "2026-03-09T23:30:00Z"  # the 10th already in Auckland, still the 9th in UTC
    assert shown("relative", late) == "yesterday"
    assert shown("relative", late, timezone="Pacific/Auckland") == "today"
    assert shown("relative", late, timezone="nowhere") == "yesterday"


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, ""), ("next week", "next week"), (7, "7"), ("0001-01-01T00:00Z", "0001-01-01T00:00Z")],
)
def test_what_is_no_time_stays(value: Any, said: str) -> None:
    assert shown("relative", value, timezone="America/New_York") == said


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("csv_export", "csv export"),
        ("CSV-export", "CSV export"),
        ("Salesforce", "Salesforce"),
        ("PagerDuty", "PagerDuty"),
        ("bulkEdit", "bulk edit"),
        ("reports.pdf", "reports pdf"),
        ("Reports 2.0", "Reports 2.0"),
        ("_", "_"),
        (None, ""),
    ],
)
def test_a_key_as_words(key: str | None, said: str) -> None:
    assert shown("readable", key) == said


def test_an_unknown_name_is_an_error_all_the_same() -> None:
    for name in FILTERS.keys() - {"one"}:
        with pytest.raises(UndefinedError):
            PLAIN.render(
                "{{ account.nothing | " + name + ("('x')" if name == "counted" else "") + " }}",
                {"account": {}},
            )


def test_what_a_filter_gives_is_escaped_in_html() -> None:
    context = {"contact": {"name": "<b>Ann</b> Lee"}}
    assert HTML.render("{{ contact.name | first_name }}", context) == "&lt;b&gt;Ann&lt;/b&gt;"


@pytest.mark.parametrize(
    ("value", "said"), [("cus_1", "cus_1"), (["cus_1"], "cus_1"), (36, "36"), ([36], "36"), (0, "0")]
)
def test_the_only_value(value: Any, said: str) -> None:
    assert shown("one", value) == said


def test_one_names_what_is_missing() -> None:
    context = {"account": {"external_ids": {"stripe": "cus_1"}}}
    with pytest.raises(ValueError, match="there is no hubspot"):
        PLAIN.value("{{ account.external_ids.hubspot | one }}", context)


@pytest.mark.parametrize("value", [None, "", [], ["a", "b"], {}, {"a": 1}, [["a"]], [None], True])
def test_one_fails_where_there_is_not_one(value: Any) -> None:
    with pytest.raises(ValueError, match="value"):
        shown("one", value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2026-03-03T09:00:00Z", "1772528400"),
        ("2026-03-03T10:00:00.9+01:00", "1772528400"),
        ("2026-03-03", "1772496000"),
        ("soon", "soon"),
        (7, "7"),
        (None, ""),
    ],
)
def test_seconds_since_1970(value: Any, said: str) -> None:
    assert shown("epoch", value) == said


def test_a_text_in_one_line() -> None:
    assert shown("one_line", " a\r\n\tb\u2028c  ") == "a b c"
    assert shown("one_line", None) == ""


@given(JSON, st.sampled_from(sorted(FILTERS.keys() - {"one"})))
def test_no_value_makes_a_filter_fail(value: Any, name: str) -> None:
    shown(name + ("('thing')" if name == "counted" else ""), value)


@given(st.integers(-4000, 4000), st.sampled_from(["UTC", "Pacific/Auckland", "America/New_York"]))
def test_a_time_lies_on_the_side_of_now_that_is_said(days: int, zone: str) -> None:
    at = datetime.fromisoformat(NOW).astimezone(ZoneInfo(zone)) + timedelta(days=days)
    said = shown("relative", at.astimezone(UTC).isoformat(), timezone=zone)
    assert said.endswith(" ago") == (days < -1)
    assert said.startswith("in ") == (days > 1)
