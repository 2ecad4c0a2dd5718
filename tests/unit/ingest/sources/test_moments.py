"""Times as other systems write them, told by their shape."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.sources.moments import moment_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000
# Seconds count up to the year 5138, so what is meant as milliseconds must lie after March 1973.
moments = st.integers(4 * 365 * DAY, 229 * 365 * DAY).map(lambda us: EPOCH + timedelta(microseconds=us))
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, zones, st.booleans())
def test_rfc_3339_in_any_zone(moment: datetime, zone: timezone, colon: bool) -> None:
    text = moment.astimezone(zone).isoformat()
    assert moment_of(text if colon else text[:-3] + text[-2:]) == moment


@given(moments, st.sampled_from([1, 1_000, 1_000_000]), st.booleans())
def test_numbers_count_what_their_size_says(moment: datetime, scale: int, as_text: bool) -> None:
    microseconds = (moment - EPOCH) // timedelta(microseconds=1)
    number = microseconds * scale // 1_000_000
    sent: Any = str(number) if as_text else number
    assert moment_of(sent) == EPOCH + timedelta(microseconds=number * (1_000_000 // scale))


def test_fractions_and_times_before_1970() -> None:
    assert moment_of("1700000000.25") == moment_of(1700000000.25) == moment_of(1_700_000_000_250)
    assert moment_of(-86_400) == datetime(1969, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "sent",
    [
        None, True, "", "soon", [], {}, "2026-01-01", "2026-01-01T00:00:00", "20260101T000000Z", "٣", "1e9", "NaN",
        float("nan"), float("inf"), 10**17, "9" * 21, -(10**13), "1800-01-01T00:00:00Z", "2300-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00", "\ud800",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(sent: Any) -> None:
    with pytest.raises(ValueError):
        moment_of(sent)
