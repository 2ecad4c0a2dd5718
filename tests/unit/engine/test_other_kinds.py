"""absence, trend, date, becomes, all_of: each "fires" has its "must not fire"."""

from __future__ import annotations

from typing import Any

from schemas.trigger import Window
from tests.unit.engine.world import World, rule


def absence(**body: Any) -> dict[str, Any]:
    return {"absence": {"event": "tick", "for": "3d", **body}}


# -- absence --


def test_absence_fires_at_its_deadline_and_not_before() -> None:
    world = World(rule(absence())).ev("01-01T09:00", x=1).clock("01-04T08:59:59")
    assert world.told == []
    assert world.clock("01-04T09:00").told == ["r acme 01-04T09:00"]
    [trigger] = world.triggers
    assert trigger.event_id == "e0"
    assert trigger.event is not None
    assert (trigger.event.data, trigger.threshold, trigger.evidence) == ({"x": 1}, "3d", ["e0"])


def test_a_match_before_the_deadline_puts_it_off_and_one_at_it_comes_too_late() -> None:
    world = World(rule(absence())).ev("01-01T09:00").ev("01-04T08:59:59").ev("01-07T08:59:59")
    assert world.told == ["r acme 01-07T08:59:59"]


def test_absence_with_since_is_ended_by_a_match_and_armed_anew_by_a_later_one() -> None:
    when = absence(since={"event": "start"})
    assert World(rule(when)).ev("01-01T09:00", "start").ev("01-02T09:00").clock("01-09T00:00").told == []
    world = World(rule(when)).ev("01-01T09:00", "start").ev("01-02T09:00", "start").clock("01-09T00:00")
    assert world.told == ["r acme 01-05T09:00"]
    assert World(rule(when)).ev("01-01T09:00").clock("01-09T00:00").told == []


def test_a_since_event_without_a_contact_stands_for_all_then_known() -> None:
    world = World(rule(absence(since={"event": "start"}), scope="contact"))
    world.update("01-01T00:00", contacts=[{"id": "ann"}, {"id": "bob"}])
    world.ev("01-01T09:00", "start").update("01-01T10:00", contacts=[{"id": "cy"}])
    world.ev("01-02T09:00", contact="bob").clock("01-09T00:00")
    assert world.told == ["r acme/ann 01-04T09:00"]


def test_a_deadline_past_when_its_event_arrives_falls_due_at_once_unless_something_came_later() -> None:
    assert World(rule(absence())).ev("01-07T09:00", "other").ev("01-02T09:00").told == ["r acme 01-05T09:00"]
    assert World(rule(absence())).ev("01-07T09:00").ev("01-02T09:00").told == []
    silent = World(rule(absence())).ev("01-07T09:00", "other").ev("01-02T09:00", historical=True)
    assert silent.clock("01-20T00:00").told == []


def test_two_events_of_one_time_arm_once() -> None:
    world = World(rule(absence())).ev("01-01T09:00").ev("01-01T09:00").clock("01-05T00:00")
    assert world.ev("01-01T09:00").told == ["r acme 01-04T09:00"]


def test_a_tier_change_reckons_deadlines_anew() -> None:
    when = absence(**{"for": {"high": "1d", "low": "5d"}})
    world = World(rule(when)).update("01-01T00:00", tier="low").ev("01-01T09:00")
    world.update("01-03T09:00", tier="high")
    assert world.told == ["r acme 01-02T09:00"]
    still = (
        World(rule(when))
        .update("01-01T00:00", tier="high")
        .ev("01-01T09:00")
        .update("01-01T10:00", tier="low")
    )
    assert still.clock("01-06T08:59").told == []
    assert still.clock("01-06T09:00").told == ["r acme 01-06T09:00"]


def test_on_return() -> None:
    when = absence(fire="on_return")
    assert World(rule(when)).ev("01-01T09:00").ev("01-04T09:00").told == ["r acme 01-04T09:00"]
    assert World(rule(when)).ev("01-01T09:00").ev("01-04T08:59").told == []
    assert World(rule(when)).ev("01-01T09:00").told == []


def test_absence_survives_a_restart_and_a_log_that_is_gone() -> None:
    world = World(rule(absence(**{"for": "200d"}))).ev("01-01T09:00", note="armed").restart()
    world.clock("07-20T09:00")
    assert world.triggers[0].event is not None
    assert world.triggers[0].event.data == {"note": "armed"}


def test_absence_by_the_wall_clock_waits_for_the_reading() -> None:
    world = World(rule(absence()), clock="wall")
    world.ev("01-01T09:00", received="01-01T09:00")
    world.ev("01-04T08:00", received="01-04T09:30")  # read late, but before the deadline's turn came
    assert world.told == ["r acme 01-04T09:00"]
    fast = World(rule(absence()), clock="wall").ev("01-01T09:00", received="01-01T09:00")
    fast.ev("01-04T08:00", received="01-04T08:00")
    assert fast.advance_to("01-04T12:00").told == []
    assert fast.advance_to("01-07T08:00").told == ["r acme 01-07T08:00"]


# -- trend --


def test_a_falling_rate_fires_at_the_tick_and_a_steady_one_does_not() -> None:
    when = {"trend": {"event": "tick", "over": "1d", "baseline": "2d", "falls_by": 50, "min_baseline": 4}}
    steady, falling, few, young = World(rule(when)), World(rule(when)), World(rule(when)), World(rule(when))
    for day in range(1, 5):
        for hour in (6, 18):
            steady.ev(f"01-0{day}T{hour:02}:00")
            if day < 4:
                falling.ev(f"01-0{day}T{hour:02}:00")
            if day == 3:
                young.ev(f"01-0{day}T{hour:02}:00").ev(f"01-0{day}T{hour:02}:01")
    few.ev("01-01T06:00").ev("01-02T12:00")
    assert steady.clock("01-05T00:00").told == []
    assert few.clock("01-06T00:00").told == []
    assert young.clock("01-05T00:00").told == []
    assert falling.clock("01-05T00:00").told == ["r acme 01-05T00:00"]
    assert falling.triggers[0].figures == {"recent": 0, "baseline": 4}
    assert falling.triggers[0].value == 100
    assert falling.triggers[0].window == Window("2026-01-04T00:00:00Z", "2026-01-05T00:00:00Z")


def test_a_trend_says_by_how_many_per_cent_the_rate_changed() -> None:
    spans = {"event": "tick", "over": "1d", "baseline": "2d", "min_baseline": 1}
    falling, rising = (World(rule({"trend": spans | {way: 25}})) for way in ("falls_by", "rises_by"))
    for world in (falling, rising):
        world.ev("01-01T00:00", "known")
    for at in ("01-01T06:00", "01-01T18:00", "01-02T06:00", "01-02T18:00", "01-03T12:00"):
        falling.ev(at)
    for at in ("01-01T06:00", "01-02T06:00", "01-03T06:00", "01-03T12:00", "01-03T18:00"):
        rising.ev(at)
    assert [one.value for one in falling.clock("01-04T00:00").triggers] == [50]
    assert [one.value for one in rising.clock("01-04T00:00").triggers] == [200]


# -- date --

RENEWAL = {"date": {"attribute": "account.attributes.renewal", "before": "30d"}}


def test_a_date_fires_once_per_value_at_its_moment() -> None:
    world = World(rule(RENEWAL)).update("01-01T00:00", attributes={"renewal": "2026-03-31"})
    assert world.clock("02-28T23:59").told == []
    assert world.clock("03-01T00:00").told == ["r acme 03-01T00:00"]
    world.update("03-02T00:00", attributes={"renewal": "2026-03-31"}).clock("03-03T00:00")
    assert len(world.told) == 1
    world.update("03-03T00:00", attributes={"renewal": "2026-04-30"}).clock("04-30T00:00")
    assert world.told[1:] == ["r acme 03-31T00:00"]


def test_a_moment_too_long_past_is_skipped() -> None:
    late = World(rule(RENEWAL)).update("03-02T00:00", attributes={"renewal": "2026-03-31"})
    assert late.told == ["r acme 03-01T00:00"]
    later = World(rule(RENEWAL)).update("03-02T00:01", attributes={"renewal": "2026-03-31"})
    assert later.clock("05-01T00:00").told == []


def test_a_repeating_date_is_clamped_to_the_end_of_months_and_stands_in_the_zone() -> None:
    when = {"date": {"attribute": "account.attributes.d", "after": "1mo", "repeat": True}}
    world = World(rule(when))
    world.update("01-31T00:00", attributes={"d": "2026-01-31"}, timezone="Europe/Berlin").clock("04-01T00:00")
    assert world.told == ["r acme 02-27T23:00", "r acme 03-30T22:00"]


def test_a_repeating_date_catches_up_on_what_is_not_too_late_and_runs_each_moment_once() -> None:
    when = {"date": {"attribute": "account.attributes.d", "after": "6h", "repeat": True, "late": "30d"}}
    world = World(rule(when)).update("01-01T00:00", attributes={"d": "2026-01-01"}).clock("02-16T00:00")
    world.update("02-16T00:00", name="Acme").clock("02-16T06:00")
    assert len(world.triggers) == len({trigger.at for trigger in world.triggers}) == 46 * 4 + 1


def test_dates_of_contacts_and_what_is_no_date() -> None:
    when = {"date": {"attribute": "contact.attributes.d", "after": "1d"}}
    world = World(rule(when, scope="contact"))
    world.update("01-01T00:00", contacts=[{"id": "ann", "attributes": {"d": "2026-01-05"}}, {"id": "bob"}])
    world.update("01-01T01:00", contacts=[{"id": "cy", "attributes": {"d": "soon"}}]).clock("02-01T00:00")
    assert world.told == ["r acme/ann 01-06T00:00"]


# -- becomes --

CHURNED = {"becomes": {"is": {"account.attributes.health": {"lt": 50}}}}


def test_becomes_fires_at_the_turn_only() -> None:
    world = World(rule(CHURNED)).update("01-01T00:00", attributes={"health": 70})
    assert world.told == []
    world.update("01-02T00:00", attributes={"health": 40}).update("01-03T00:00", attributes={"health": 30})
    assert world.told == ["r acme 01-02T00:00"]
    world.update("01-04T00:00", attributes={"health": 60}).update("01-05T00:00", attributes={"health": 10})
    assert world.told[1:] == ["r acme 01-05T00:00"]
    quiet = World(rule(CHURNED)).update("01-01T00:00", attributes={"health": 10}, historical=True)
    assert quiet.told == []


def test_becomes_in_contact_scope_fires_for_every_contact_that_turned() -> None:
    when = {"becomes": {"is": {"contact.active": False}}}
    world = World(rule(when, scope="contact"))
    world.update("01-01T00:00", contacts=[{"id": "ann"}, {"id": "bob"}, {"id": "cy", "active": False}])
    world.update("01-02T00:00", contacts=[{"id": "ann", "active": False}, {"id": "bob", "active": True}])
    assert world.told == ["r acme/cy 01-01T00:00", "r acme/ann 01-02T00:00"]


# -- all_of --


def test_all_of_needs_every_member_close_together() -> None:
    members = [
        {"threshold": {"event": "tick", "within": "1d", "at_least": 2}},
        {"threshold": {"event": "nps", "where": {"data.score": {"lte": 6}}, "at_least": 1}},
    ]
    when = {"all_of": {"of": members, "within": "7d"}}
    near = World(rule(when)).ev("01-01T09:00").ev("01-01T10:00").ev("01-08T09:59", "nps", score=3)
    assert near.told == ["r acme 01-08T09:59"]
    far = World(rule(when)).ev("01-01T09:00").ev("01-01T10:00").ev("01-08T10:00", "nps", score=3)
    assert far.told == []
    happy = World(rule(when)).ev("01-01T09:00").ev("01-01T10:00").ev("01-02T10:00", "nps", score=9)
    assert happy.told == []
