"""Reading counts on both databases: bounds, days of timezones, limits."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update

from backbone.database import Database
from backbone.errors import Invalid
from backbone.stats import reading
from backbone.stats.counted import QUARTER_US
from backbone.stats.fold import fold
from backbone.stats.reading import Period
from schemas.event import microseconds
from services.actions.stats_tables import STATS
from services.actions.tables import actions, plays, tasks
from tests.conformance.database.analyst import make
from tests.conformance.database.counting import ACTIONS, NOW, PLAYS, TASKS, action, play, read
from tests.migrated import migrated

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def house(db: Database) -> Database:
    migrated(db)
    return db


MOMENTS = st.integers(-3 * QUARTER_US, 3 * QUARTER_US) | st.sampled_from(
    [n * QUARTER_US + d for n in (-2, -1, 0, 1, 2) for d in (-1, 0, 1)]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(MOMENTS, st.none() | MOMENTS), max_size=12),
    after=st.none() | MOMENTS,
    before=st.none() | MOMENTS,
    folds=st.booleans(),
    base=st.sampled_from([0, NOW]),
)
def test_bounds_are_exact_to_the_microsecond(
    house: Database,
    rows: list[tuple[int, int | None]],
    after: int | None,
    before: int | None,
    folds: bool,
    base: int,
) -> None:
    with house.write() as conn:
        conn.execute(delete(actions))
        made = [
            action(
                f"a{n}",
                due_at=base + due,
                done_at=None if done is None else base + done,
                tier=("low", "")[n % 2],
            )
            for n, (due, done) in enumerate(rows)
        ]
        conn.execute(insert(actions), made) if made else None
    if folds:
        fold(house, STATS)
    moments = [
        (base + (due if done is None else done), ("low", None)[n % 2]) for n, (due, done) in enumerate(rows)
    ]
    there = [
        (at, tier)
        for at, tier in moments
        if (after is None or at > base + after) and (before is None or at < base + before)
    ]
    period = Period(None if after is None else base + after + 1, None if before is None else base + before)
    assert read(house, ACTIONS, period=period) == [(len(there),)]
    by_tier = sorted(Counter(tier for _, tier in there).items(), key=lambda one: str(one[0] or "~"))
    assert read(house, ACTIONS, "tier", period=period) == by_tier


ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "Pacific/Apia",
         "Africa/Casablanca", "Asia/Kolkata", "Pacific/Chatham", "America/Sao_Paulo", "Pacific/Kiritimati"]  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    moments=st.lists(st.integers(1_293_840_000, 1_609_372_800), max_size=30),
)
def test_days_are_those_of_the_zone(house: Database, zone: ZoneInfo, moments: list[int]) -> None:
    days_are_right(house, zone, [moment(at * 1_000_000) for at in moments])


def test_days_are_right_around_each_change_of_clocks(house: Database) -> None:
    start, hour = microseconds(datetime(2018, 1, 1, tzinfo=UTC)), 4 * QUARTER_US
    hours = [start + n * hour for n in range(24 * 366)]
    for zone in map(ZoneInfo, ZONES):
        ahead = [moment(at).astimezone(zone).utcoffset() for at in hours]
        near = [at for n, at in enumerate(hours[26:-26]) if ahead[n] != ahead[n + 52]] or hours[:60]
        shifts = (0, hour // 2, hour // 2 + QUARTER_US - 1)
        days_are_right(house, zone, [moment(at + shift) for at in near for shift in shifts])


def moment(us: int) -> datetime:
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)


def days_are_right(house: Database, zone: ZoneInfo, moments: list[datetime]) -> None:
    with house.write() as conn:
        conn.execute(delete(plays))
        rows = [play(f"p{n}", started_at=microseconds(one)) for n, one in enumerate(moments)]
        conn.execute(insert(plays), rows) if rows else None
    expected = Counter(one.astimezone(zone).date().isoformat() for one in moments)
    assert read(house, PLAYS, "day", zone=zone) == sorted(expected.items())


def test_a_day_of_23_hours_and_one_of_25(house: Database) -> None:
    for month, day, hours in ((3, 29, 23), (10, 25, 25), (6, 1, 24)):
        midnight = datetime(2026, month, day, tzinfo=UTC)
        first = microseconds(midnight) - 3 * 4 * QUARTER_US
        with house.write() as conn:
            conn.execute(delete(plays))
            rows = [play(f"p{n}", started_at=first + n * QUARTER_US) for n in range(4 * 30)]
            conn.execute(insert(plays), rows)
        assert dict(read(house, PLAYS, "day", zone=BERLIN))[midnight.date().isoformat()] == 4 * hours


def test_what_has_no_value_is_null_and_comes_last(house: Database) -> None:
    with house.write() as conn:
        make(conn, "t1", "t2")
        conn.execute(
            update(tasks).where(tasks.c.id == "t2").values(assigned="kim@us.test", playbook="p", rule="r")
        )
    assert read(house, TASKS, "assignee", "playbook") == [("kim@us.test", "p", 1), (None, None, 1)]
    assert read(house, TASKS, "rule") == [("r", 1), (None, 1)]
    assert read(house, PLAYS, "rule") == []
    assert read(house, PLAYS) == [(0,)]
    nothing = Period(NOW, NOW)
    assert (read(house, TASKS, period=nothing), read(house, TASKS, "rule", period=nothing)) == ([(0,)], [])


def test_a_zone_of_parts_of_quarter_hours_is_refused(house: Database) -> None:
    cases = [
        # 44 minutes and 30 seconds behind
        ("Africa/Monrovia", datetime(1970, 6, 1, tzinfo=UTC), datetime(1970, 6, 2, tzinfo=UTC)),
        (
            "America/St_Johns",
            datetime(2008, 3, 1, tzinfo=UTC),
            datetime(2008, 12, 1, tzinfo=UTC),
        ),  # changed its clocks a minute past midnight
    ]
    for name, first, last in cases:
        with house.write() as conn:
            conn.execute(delete(plays))
            moments = [microseconds(one) for one in (first, last)]
            conn.execute(insert(plays), [play(f"p{n}", started_at=at) for n, at in enumerate(moments)])
        fold(house, STATS)
        with pytest.raises(Invalid) as caught:
            read(house, PLAYS, "day", zone=ZoneInfo(name))
        assert [one["field"] for one in caught.value.errors] == ["timezone"]
        assert sum(n for _, n in read(house, PLAYS, "day")) == 2
        assert read(house, PLAYS, zone=ZoneInfo(name)) == [(2,)]
    assert read(house, PLAYS, "day", period=Period(moments[1], None), zone=ZoneInfo("America/St_Johns")) != []


def test_there_are_limits(house: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.write() as conn:
        moments = (NOW, NOW + (reading.MOST_DAYS + 2) * 96 * QUARTER_US)
        conn.execute(
            insert(plays), [play(f"p{n}", started_at=at, rule=f"r{n}") for n, at in enumerate(moments)]
        )
    with pytest.raises(Invalid) as caught:
        read(house, PLAYS, "day")
    assert caught.value.errors == [
        {"field": "by", "message": "day is for at most 3,660 days: give after and before"}
    ]
    assert len(read(house, PLAYS, "day", period=Period(None, NOW + 1))) == 1
    monkeypatch.setattr(reading, "MOST_ITEMS", 2)
    assert len(read(house, PLAYS, "rule")) == 2
    monkeypatch.setattr(reading, "MOST_ITEMS", 1)
    with pytest.raises(Invalid) as caught:
        read(house, PLAYS, "rule")
    assert [one["field"] for one in caught.value.errors] == ["by"]
