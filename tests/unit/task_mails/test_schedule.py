"""When mails about tasks go out, compared with slow and obvious models."""

from collections import deque
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.event import from_microseconds, microseconds
from schemas.policy import WEEK
from schemas.task_mails import TaskMailsDoc
from services.actions.task_mails.schedule import AT_ONCE, WITHIN_US, Day, Wishes, joined

MINUTE = 60_000_000
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo"]


def at(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]


starts = st.integers(0, 2 * 366 * 24 * 60).map(lambda minutes: at(2026, 1, 1) + timedelta(minutes=minutes))
clocks = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))


def wishes(**fields: object) -> Wishes:
    return Wishes.of(TaskMailsDoc.model_validate(fields), None)


def walked(begin: datetime, days: int, hour: str, wanted: list[str], zone: str) -> list[datetime]:
    """Walks minute by minute, and takes the first minute of each local date whose clock shows `hour` or later."""
    place, found, last = ZoneInfo(zone), [], begin.astimezone(ZoneInfo(zone)).date()
    now, done = begin, {last} if f"{begin.astimezone(place):%H:%M}" >= hour else set()
    for _ in range(days * 24 * 60):
        now += timedelta(minutes=1)
        local = now.astimezone(place)
        if local.date() not in done and f"{local:%H:%M}" >= hour:
            done.add(local.date())
            if WEEK[local.weekday()] in wanted:
                found.append(now)
    return found


@settings(max_examples=30)
@given(starts, clocks, st.sets(st.sampled_from(WEEK), min_size=1), st.sampled_from(ZONES))
@example(at(2026, 3, 28, 12), "02:30", set(WEEK), "Europe/Paris")  # left out on the 29th
@example(at(2026, 10, 24, 12), "02:30", set(WEEK), "Europe/Paris")  # comes twice on the 25th
@example(at(2026, 4, 23, 12), "00:00", set(WEEK), "Africa/Cairo")  # midnight is left out on the 24th
def test_mornings_are_those_of_a_clock_that_is_watched(
    begin: datetime, hour: str, days: set[str], zone: str
) -> None:
    end = begin + timedelta(days=6)
    asked = wishes(morning={"at": hour, "days": sorted(days, key=WEEK.index)})
    found = [
        from_microseconds(one) for one in asked.mornings(microseconds(begin), microseconds(end), zone, 100)
    ]
    assert found == walked(begin, 6, hour, sorted(days), zone)


@given(starts, st.sampled_from(ZONES))
@example(at(2026, 3, 29, 6), "Europe/Paris")
@example(at(2026, 4, 23, 12), "Africa/Cairo")
def test_a_day_and_its_week_end_when_the_clock_says_so(begin: datetime, zone: str) -> None:
    now, place = begin, ZoneInfo(zone)
    day = Day.at(microseconds(now), zone)
    assert day.date == now.astimezone(place).date()
    monday = day.date + timedelta(days=7 - day.date.weekday())
    for end, first in ((day.end, day.date + timedelta(days=1)), (day.week_end, monday)):
        assert from_microseconds(end).astimezone(place).date() == first
        assert from_microseconds(end - 1).astimezone(place).date() < first


def test_mornings_are_in_order_and_no_more_than_asked_for() -> None:
    asked = wishes(morning={})
    begin, end = (microseconds(datetime(2026, month, 1, tzinfo=UTC)) for month in (1, 12))
    found = list(asked.mornings(begin, end, "UTC", 7))
    assert [f"{from_microseconds(one):%a %H:%M}" for one in found] == [
        *(f"{day} 08:00" for day in ("Thu", "Fri", "Mon", "Tue", "Wed", "Thu", "Fri"))
    ]
    assert list(wishes(made=True).mornings(begin, end, "UTC", 7)) == []


@given(st.lists(st.integers(0, 40 * MINUTE), max_size=60).map(sorted))
def test_each_task_goes_out_once_soon_and_never_in_many_mails(arrivals: list[int]) -> None:
    """A process that looks every half minute. Each task is told of once, within the time; no time has more mails."""
    waiting, told = deque(enumerate(arrivals)), list[tuple[int, int]]()
    sent: list[int] = []
    here: list[tuple[int, int]] = []
    for now in range(0, 60 * MINUTE, MINUTE // 2):
        while waiting and waiting[0][1] <= now:
            here.append(waiting.popleft())
        groups = joined(here, sum(at > now - WITHIN_US for at in sent))
        for group in groups:
            sent.append(now)
            told += [(number, now - at) for number, at in group]
        here = [one for one in here if one[0] not in {number for number, _ in told}]
    assert sorted(number for number, _ in told) == list(range(len(arrivals)))
    assert all(waited <= WITHIN_US + MINUTE for _, waited in told)
    assert all(sum(at - WITHIN_US < one <= at for one in sent) <= AT_ONCE for at in sent)


@pytest.mark.parametrize(
    ("waiting", "recent", "mails"),
    [
        (0, 0, []),
        (1, 0, [1]),
        (3, 0, [1, 1, 1]),
        (4, 0, [4]),
        (2, 1, [1, 1]),
        (3, 1, [3]),
        (1, 3, []),
        (50, 9, []),
    ],
)
def test_a_few_go_alone_and_many_together(waiting: int, recent: int, mails: list[int]) -> None:
    assert [len(one) for one in joined(list(range(waiting)), recent)] == mails


def test_people_have_their_own_zone_and_their_own_way() -> None:
    people = {
        "Kim@US.test": {"timezone": "America/New_York", "made": False},
        "lee@us.test": {"morning": False},
    }
    asked = Wishes.of(
        TaskMailsDoc.model_validate({"made": True, "morning": {}, "people": people}), "Europe/Paris"
    )
    assert [asked.zone_of(one) for one in ("kim@us.test", "lee@us.test")] == [
        "America/New_York",
        "Europe/Paris",
    ]
    assert asked.zones() == ["America/New_York", "Europe/Paris"]
    assert [asked.wants("made", one) for one in ("kim@us.test", "lee@us.test", "jo@us.test")] == [
        False,
        True,
        True,
    ]
    assert [asked.wants("morning", one) for one in ("kim@us.test", "lee@us.test", "jo@us.test")] == [
        True,
        False,
        True,
    ]
    assert (
        Wishes.of(TaskMailsDoc.model_validate({"timezone": "Asia/Tokyo"}), "Europe/Paris").zone
        == "Asia/Tokyo"
    )
    assert not any(wishes().wants(kind, "jo@us.test") for kind in ("made", "morning"))
    assert Day.at(microseconds(datetime(2026, 11, 30, 20, tzinfo=UTC)), "Asia/Tokyo").date == date(
        2026, 12, 1
    )


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"made": 1}, "made", "valid boolean"),
        ({"morning": {"at": "8:00"}}, "at", "such as 08:00"),
        ({"morning": {"days": []}}, "days", "at least 1"),
        ({"morning": {"days": ["mon", "mon"]}}, "days", "twice"),
        ({"timezone": "Paris"}, "timezone", "IANA"),
        ({"people": {"kim": {}}}, "", "no email address"),
        ({"people": {"kim@us.test": {}, "KIM@us.test": {}}}, "", "twice"),
        ({"people": {"kim@us.test": {"timezone": "x"}}}, "timezone", "IANA"),
        ({"mode": "both"}, "mode", "not permitted"),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TaskMailsDoc.model_validate(fields)
    (error,) = refused.value.errors()
    assert words in error["msg"]
    assert field in (str(error["loc"][-1]) if error["loc"] else "")
