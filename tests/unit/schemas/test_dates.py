"""Dates in attributes: what is read, what is none, and that rules and waits read the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dates import date_of, moment_of, unchanged
from schemas.event import Event, from_microseconds, microseconds, rfc3339
from tests.oracle.times import attribute_moment, to_us
from tests.unit.engine.world import World as Rules
from tests.unit.engine.world import rule
from tests.unit.plays.kit import DAY, T0, account, book
from tests.unit.plays.kit import World as Plays

PARIS = "Europe/Paris"


@pytest.mark.parametrize(
    ("value", "zone", "expected"),
    [
        ("2026-11-22", None, "2026-11-22T00:00:00Z"),
        ("2026-11-22", PARIS, "2026-11-21T23:00:00Z"),
        ("2026-11-22", "Mars/Olympus", "2026-11-22T00:00:00Z"),
        ("2026-11-22T09:00", PARIS, "2026-11-22T08:00:00Z"),
        ("2026-11-22 09:00:30", None, "2026-11-22T09:00:30Z"),
        ("2026-11-22t09:00:00.123456789z", PARIS, "2026-11-22T09:00:00.123456Z"),
        ("2026-11-22T09:00:00+01:00", None, "2026-11-22T08:00:00Z"),
        ("2026-11-22T09:00:00.000+0000", PARIS, "2026-11-22T09:00:00Z"),
        ("2026-11-22 09:00:00-05", None, "2026-11-22T14:00:00Z"),
        ("2026-03-29T02:30", PARIS, "2026-03-29T01:30:00Z"),  # left out by the clocks
        ("2026-10-25T02:30", PARIS, "2026-10-25T00:30:00Z"),  # the first of two
        ("2024-02-29", None, "2024-02-29T00:00:00Z"),
    ],
)
def test_what_is_read(value: str, zone: str | None, expected: str) -> None:
    moment = moment_of(value, zone)
    assert moment is not None
    assert rfc3339(moment) == expected


@pytest.mark.parametrize(
    "value",
    [
        None, True, 20261122, 1_940_576_400, 1.5, [], {}, "", "soon", "20261122", "2026-W47-7", "2026-326",
        "2026-11", "2026-02-29", "2026-13-01", "12/31/2026", "2026-11-22T", "2026-11-22T09", "2026-11-22T25:00",
        "2026-11-22T09:00+25:00", " 2026-11-22", "2026-11-22\n", "2026-11-22T09:00:00,5", "２０２６-11-22",
    ],
)  # fmt: skip
def test_what_is_no_date(value: Any) -> None:
    assert date_of(value, None) is None
    assert moment_of(value, PARIS) is None


ZONES = st.sampled_from((None, "UTC", "Asia/Tokyo", "America/New_York", PARIS, "Australia/Lord_Howe"))
DAYS = st.datetimes(datetime(2026, 2, 1), datetime(2026, 12, 1))  # noqa: DTZ001 - the texts have no offset either
PATTERNS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y%m%d", "%G-W%V-%u")
OFFSETS = ("", "", "Z", "+02:00", "-0930", "+05")
VALUES = st.one_of(
    st.builds(
        lambda day, form, end: day.strftime(form) + end,
        DAYS,
        st.sampled_from(PATTERNS),
        st.sampled_from(OFFSETS),
    ),
    st.sampled_from((None, "soon", 1_940_576_400, "2026-02-30")),
)


@given(VALUES, ZONES)
def test_the_slow_truth(value: Any, zone: str | None) -> None:
    truth = attribute_moment(value, zone)
    assert moment_of(value, zone) == (None if truth is None else to_us(truth))


@given(VALUES, ZONES)
def test_rules_and_waits_read_alike(value: Any, zone: str | None) -> None:
    """A rule fires at the very moment at which a wait for the same date is over, or both see none."""
    data = {"timezone": zone, "attributes": {"day": value}}
    path, end = "account.attributes.day", T0 + 400 * DAY
    rules = Rules(rule({"date": {"attribute": path, "before": "7d"}}))
    rules.put(account(**data))
    rules.put(Event(type="touchline.clock", id="end", source="touchline", time=from_microseconds(end)))

    plays = Plays(book(steps=[{"wait": {"until_date": path, "before": "7d"}}, {"task": {"title": "Go"}}]))
    plays.say(account(**data))
    plays.fire(T0)
    plays.clock(end)

    fired = [trigger.at for trigger in rules.triggers]
    (action,) = plays.store.actions.values()
    (note,) = plays.store.notes
    if note.reason == "wait_over":
        assert fired == [rfc3339(action.due_at)]
        assert action.due_at + 7 * DAY == moment_of(value, zone)
    elif note.reason == "no_date":
        assert (fired, action.due_at, moment_of(value, zone)) == ([], T0, None)
    else:
        assert (note.reason, action.due_at) == ("date_past", T0)
        assert all(at < rfc3339(T0) for at in fired)  # late by less than a day


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("2026-11-22", "2026-11-22", True),
        ("2026-11-22", "2026-11-22T00:00", True),
        ("2026-11-22", "2026-11-21T23:00:00Z", True),  # in Paris
        ("2026-11-22T10:00:00+01:00", "2026-11-22T09:00:00.000Z", True),
        ("2026-11-22", "2026-11-23", False),
        ("2026-11-22", "2026-11-22T00:00Z", False),  # an hour later, in Paris
        ("2026-11-22", "20261122", False),  # the second is none
        ("2026-11-22", None, False),
        (None, None, True),
        (1, 1.0, True),
        (1, True, False),
        (1, "1", False),
        ("soon", "later", False),
        ([1, {"a": 1.0}], [1.0, {"a": 1}], True),
        ([1], [True], False),
        ({"a": 0}, {"a": False}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
    ],
)
def test_what_is_no_change(before: Any, after: Any, same: bool) -> None:
    assert unchanged(before, after, PARIS) is same
    assert unchanged(after, before, PARIS) is same


@given(st.integers(-62_000_000_000_000_000, 250_000_000_000_000_000))
def test_moments_are_exact_to_the_microsecond(us: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    assert microseconds(moment) == us
    assert moment_of(moment.isoformat(), None) == us
