"""Rules with `alive`: what a silent source holds back, what it moves, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.event import SOURCE_SEEN, Event, from_microseconds
from schemas.heartbeats import clause_of, records_of, seen_of
from schemas.lint.single import Facts, lint_rule
from schemas.reasons import Reason
from schemas.rule import Alive, RuleIn
from services.rules.engine.heartbeats import MAX_RUNS, Heartbeat
from services.rules.engine.matches import matching
from tests.unit.engine.world import World, rule, us

GONE = {"absence": {"event": "login", "for": "3d"}}
FEW = {"threshold": {"event": "login", "within": "3d", "at_most": 0}}
ALIVE = {"event": ["login", "beat"], "within": "12h"}


def acme(w: World) -> list[str]:
    return [told for told in w.told if " acme " in told]


def world(when: dict[str, Any] = GONE, **more: Any) -> World:
    return World(rule(when, alive=ALIVE, **more))


def beats(w: World, day: str, *hours: str) -> World:
    """Heartbeats of another account."""
    for hour in hours:
        w.ev(f"{day}T{hour}", "beat", "other")
    return w


def day_and_night(w: World, *days: str) -> World:
    for day in days:
        beats(w, day, "00:00", "08:00", "16:00")
    return w


def until_due() -> World:
    """An account that logs in on 1 January at 09:00, and a source that works up to the deadline on the 4th."""
    w = day_and_night(world().ev("01-01T09:00", "login"), "01-02", "01-03")
    return beats(w.ev("01-01T16:00", "beat", "other"), "01-04", "00:00", "08:00")


def test_a_deadline_waits_for_the_next_heartbeat() -> None:
    w = until_due().clock("01-04T15:00")
    assert w.told == []
    assert beats(w, "01-04", "15:30").told == ["r acme 01-04T09:00"]


def test_a_deadline_in_a_silence_moves_by_its_part_before() -> None:
    w = until_due().clock("01-06T00:00")
    assert w.engine.reasons["r", Reason.SOURCE_SILENT] == 1
    beats(w, "01-06", "08:00")  # silent from the 4th, 08:00: two days
    assert w.told == []
    beats(w, "01-06", "08:59").clock("01-06T09:00")
    assert w.told == []
    assert beats(w, "01-06", "09:01").told == ["r acme 01-06T09:00"]


def test_a_return_in_the_silence_ends_the_absence() -> None:
    w = until_due().ev("01-05T10:00", "login")
    assert day_and_night(w, "01-06", "01-07").told == []


def test_a_restart_forgets_nothing_that_waits() -> None:
    w = until_due().clock("01-04T15:00").restart()
    assert beats(w, "01-04", "15:30").told == ["r acme 01-04T09:00"]
    w = until_due().clock("01-06T00:00").restart()
    beats(w, "01-06", "08:00", "08:59").restart()
    assert beats(w, "01-06", "09:01").told == ["r acme 01-06T09:00"]


def test_what_fills_a_silence_moves_the_deadline_back() -> None:
    w = beats(until_due().clock("01-06T00:00"), "01-06", "08:00").restart()
    assert beats(w, "01-04", "08:59").told == []  # the silence begins later, but before the deadline
    assert beats(w, "01-04", "09:00").told == ["r acme 01-04T09:00"]


def test_what_came_before_the_deadline_ends_it_even_if_it_comes_while_it_waits() -> None:
    w = until_due().clock("01-04T15:00").ev("01-04T08:30", "login")
    assert beats(w, "01-04", "15:30").told == []


def test_nothing_is_guarded_before_the_first_heartbeat() -> None:
    w = World(rule(GONE, alive={"event": "beat", "within": "12h"})).ev("01-01T09:00", "login")
    explained = w.explain("01-02T00:00")
    assert explained["sentence"].endswith(
        "No beat event has ever come, so a silent source would not hold the rule back."
    )
    assert w.clock("01-05T00:00").told == ["r acme 01-04T09:00"]


def test_ticks_are_passed_over_in_a_silence_and_for_a_day_after() -> None:
    w = world({"threshold": {"event": "login", "within": "30d", "at_most": 1}}, cooldown="0s")
    w.ev("01-01T09:00", "login").ev("01-02T09:00", "login")
    for day in range(3, 32):
        day_and_night(w, f"01-{day:02}")
    day_and_night(w, "02-01")
    w.clock("02-02T00:00")
    assert acme(w) == ["r acme 02-01T00:00"]
    beats(w, "02-02", "00:01", "12:00").clock("02-03T23:00")
    assert acme(w) == ["r acme 02-01T00:00", "r acme 02-02T00:00"]  # silent from the 2nd, 12:00
    beats(w, "02-03", "23:30")
    day_and_night(w, "02-04", "02-05")
    assert acme(w) == ["r acme 02-01T00:00", "r acme 02-02T00:00", "r acme 02-05T00:00"]


def test_a_tick_is_passed_over_where_a_tenth_of_its_window_was_silent() -> None:
    w = world(FEW, cooldown="0s").ev("01-01T09:00", "login")
    day_and_night(w, "01-02", "01-03", "01-04")
    beats(w, "01-05", "00:30", "13:00")  # 12.5 hours: of 72, more than a tenth
    day_and_night(w, "01-06", "01-07", "01-08", "01-09")
    assert acme(w) == ["r acme 01-05T00:00", "r acme 01-09T00:00"]


def test_a_return_is_no_return_where_only_the_source_was_away() -> None:
    back = {"absence": {"event": "login", "for": "2d", "fire": "on_return"}}
    w = world(back).ev("01-01T09:00", "login").ev("01-04T09:00", "login")
    assert w.told == []
    w = day_and_night(
        world(back).ev("01-01T09:00", "login").ev("01-01T16:00", "beat", "other"), "01-02", "01-03"
    )
    assert w.ev("01-04T00:00", "login").told == ["r acme 01-04T00:00"]


def test_historical_events_are_heartbeats_and_late_ones_are_not() -> None:
    w = until_due().clock("01-04T15:00")
    assert w.ev("01-04T15:00", "beat", "third", historical=True).told == ["r acme 01-04T09:00"]
    w = until_due().ev("01-20T00:00", "page", "third").ev("01-12T00:00", "beat", "third")
    assert w.told == []


def test_a_historical_arm_fires_nothing_later() -> None:
    w = beats(world(), "01-01", "08:00").clock("01-10T00:00").ev("01-01T09:00", "login", historical=True)
    assert day_and_night(w, "01-11", "01-12", "01-20").told == []


def test_a_save_that_changes_within_goes_on_from_what_is_known() -> None:
    w = until_due()
    w.save("01-04T08:00", rule(GONE, alive={**ALIVE, "within": "1d"}, version=2)).clock("01-07T00:00")
    assert w.told == []
    day_and_night(w, "01-08")
    assert w.told == ["r acme 01-08T01:00"]  # silent from the 4th, 08:00, to the 8th


def test_a_save_that_drops_alive_decides_what_waited() -> None:
    w = until_due().clock("01-05T12:00").save("01-05T12:00", rule(GONE, version=2))
    assert w.told == ["r acme 01-04T09:00"]


def test_backfill_builds_the_heartbeats() -> None:
    w = World().ev("01-01T09:00", "login")
    day_and_night(w.ev("01-01T16:00", "beat", "other"), "01-02", "01-03")
    w.save("01-03T16:00", rule(GONE, alive=ALIVE, backfill=True)).clock("01-06T00:00")
    assert w.told == []
    assert [runs for _, runs in w.engine.take_told()] == [[(us("01-01T09:00"), us("01-03T16:00"))]]
    w = World().ev("01-01T09:00", "login").save("01-01T10:00", rule(GONE, alive=ALIVE)).clock("01-06T00:00")
    assert w.told == []  # nothing armed it


def test_a_save_that_shortens_within_finds_the_silences_in_the_log() -> None:
    w = until_due()  # a beat at least every eight hours
    w.save("01-04T08:00", rule(GONE, alive={**ALIVE, "within": "4h"}, version=2))
    assert w.engine.heartbeats[clause_of(Alive(**ALIVE | {"within": "4h"})).key].runs() == [
        (us(time), us(time))
        for time in (
            *("01-01T09:00", "01-01T16:00", "01-02T00:00", "01-02T08:00", "01-02T16:00"),
            *("01-03T00:00", "01-03T08:00", "01-03T16:00", "01-04T00:00", "01-04T08:00"),
        )
    ]
    day_and_night(w, "01-05", "01-06", "01-07")
    assert w.told == []  # every time between two beats is a silence now, and the deadline moves with it


def test_alive_that_is_added_in_an_outage_holds_back_what_is_armed() -> None:
    def w() -> World:
        return World(rule(GONE)).ev("01-01T09:00", "login").ev("01-01T16:00", "beat", "other")

    added = rule(GONE, alive={**ALIVE, "event": "beat"}, version=2)
    held = w().save("01-03T00:00", added).clock("01-06T00:00")
    assert held.told == []
    assert [runs for _, runs in held.engine.take_told()] == [[(us("01-01T16:00"),) * 2]]
    day_and_night(
        held, "01-06", "01-07", "01-08", "01-09"
    )  # the deadline moves by what was silent, four days and a third
    assert held.told == ["r acme 01-08T17:00"]
    assert w().save("01-03T00:00", rule(GONE, version=2)).clock("01-06T00:00").told == ["r acme 01-04T09:00"]
    another = rule(GONE, alive={**ALIVE, "event": "pulse"}, version=2)  # it never came
    assert w().save("01-03T00:00", another).clock("01-06T00:00").told == ["r acme 01-04T09:00"]


def test_others_are_told_once_in_a_tenth_of_within() -> None:
    w, told = world(), []
    for minute in range(0, 180, 5):
        w.ev(f"01-01T{9 + minute // 60:02}:{minute % 60:02}", "beat", "other")
        told += [run for _, runs in w.engine.take_told() for run in runs]
    times = [us("01-01T09:00"), us("01-01T10:15"), us("01-01T11:30")]  # a tenth of twelve hours is 72 minutes
    assert told == [(times[0], at) for at in times]
    beats(w, "01-03", "09:00")
    assert w.engine.take_told()[0][1] == [(times[0], us("01-01T11:55")), (us("01-03T09:00"),) * 2]


def test_what_others_tell_decides_here_and_is_not_told_again() -> None:
    w = until_due().clock("01-04T15:00")
    w.engine.take_told()
    [clause] = w.engine.rules.clauses.values()
    at = us("01-04T15:00")
    [told] = records_of(clause, [(at, at)], name="n", at=at)
    assert seen_of(told) == (clause, [(at, at)])
    assert w.put(told).put(told).told == ["r acme 01-04T09:00"]
    assert w.engine.take_told() == []


@pytest.mark.parametrize(
    "data", [None, {}, {"event": ["beat"]}, {"event": "x", "within": 1, "runs": [["a", "b"]]}, 7]
)
def test_an_odd_record_changes_nothing(data: Any) -> None:
    odd = Event(type=SOURCE_SEEN, id="x", source="x", time=from_microseconds(us("01-04T15:00")), data=data)
    assert until_due().clock("01-04T15:00").put(odd).told == []


def test_a_driver_can_say_what_came_in_other_partitions() -> None:
    w = until_due().clock("01-04T15:00")
    w.engine.saw("page", us("01-04T15:00"), len(w.log))
    assert w.engine.drain() == []
    w.engine.saw("beat", us("01-04T15:00"), len(w.log))
    [trigger] = w.engine.drain()
    assert trigger.at == "2026-01-04T09:00:00Z"


def test_explain_says_what_it_waits_for() -> None:
    w = until_due().clock("01-06T00:00")
    found = w.explain("01-06T00:00")
    assert (found["fires"], found["reason"]) == (False, Reason.SOURCE_SILENT)
    assert "since 4 January 2026, 08:00 UTC" in found["sentence"]
    beats(w, "01-06", "08:00")
    found = w.explain("01-06T08:00")
    assert (found["reason"], found["next_check"]) == (Reason.DEADLINE_AHEAD, "2026-01-06T09:00:00Z")
    w = world(FEW).ev("01-01T09:00", "login")
    found = w.clock("01-10T00:00").explain("01-10T00:00")
    assert (found["fires"], found["reason"]) == (False, Reason.SOURCE_SILENT)


@pytest.mark.parametrize(
    "when",
    [
        {"threshold": {"event": "login", "within": "3d", "at_least": 2}},
        {"date": {"attribute": "account.attributes.d", "after": "1d"}},
        {"becomes": {"is": {"account.tier": "high"}}},
        {"all_of": {"of": [GONE], "within": "3d"}},
    ],
    ids=lambda when: next(iter(when)),
)
def test_other_kinds_take_no_alive(when: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        RuleIn.model_validate({"name": "r", "when": when, "alive": ALIVE})
    assert [one["loc"] for one in error.value.errors()] == [("alive",)]


def test_the_lint_knows_alive() -> None:
    def warned(**alive: Any) -> list[str]:
        body = {"name": "r", "when": GONE, "alive": {**ALIVE, **alive}}
        facts = Facts({"login": frozenset(), "beat": frozenset()})
        return [one["field"] for one in lint_rule(RuleIn.model_validate(body), facts)]

    assert warned() == []
    assert warned(within="4d") == ["alive.within"]
    assert warned(event=["login", "baet"]) == ["alive.event"]
    assert warned(event="account.deleted") == ["alive.event"]
    assert warned(event="*") == []


def test_too_many_silences_become_fewer_and_longer() -> None:
    [clause] = world().engine.rules.clauses.values()
    heart, step = Heartbeat(clause), 2 * clause.within
    for number in range(MAX_RUNS + 5):
        heart.hear(number * step, number * step)
    assert len(heart.runs()) == MAX_RUNS
    assert (heart.runs()[0], heart.last) == ((0, 0), (MAX_RUNS + 4) * step)
    assert Heartbeat.restored(heart.stored()).runs() == heart.runs()


def test_who_matches_leaves_silences_out() -> None:
    def shares(w: World, short: str) -> list[tuple[bool, float]]:
        state = w.accounts.states["acme"]
        engine = w.engine
        found = matching(engine.rules, engine.rules.by_name["r"], state, us(short), 0.0, engine.heartbeats)
        return [(one.holds, round(one.share, 3)) for one in found]

    w = until_due()
    assert shares(w, "01-04T08:00") == [(False, 0.986)]
    assert shares(beats(w, "01-04", "09:30"), "01-04T09:30") == [(True, 1.007)]
    w = until_due().clock("01-06T00:00")
    assert shares(w, "01-06T00:00") == [(False, 0.986)]
    assert shares(beats(w, "01-06", "08:00"), "01-06T08:00") == [(False, 0.986)]
    assert shares(beats(w, "01-06", "09:30"), "01-06T09:30") == [(True, 1.007)]
    w = day_and_night(
        world(FEW).ev("01-01T09:00", "login").ev("01-01T16:00", "beat", "other"), "01-02", "01-03", "01-04"
    )
    assert shares(w, "01-04T20:00") == [(True, 1.0)]
    assert shares(w, "01-05T08:00") == [(False, 1.0)]
