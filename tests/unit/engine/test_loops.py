"""No rule fires at an event of Touchline's own that is too deep; all else fires as ever."""

from typing import Any

import pytest

from schemas.event import Event, depth_of, from_microseconds
from services.rules.engine.state_codec import decode, encode
from tests.unit.engine.world import World, rule, us

SENT = "touchline.email.sent"
EACH: dict[str, Any] = {"threshold": {"event": SENT, "at_least": 1}}


def own(world: World, short: str, depth: object, type_: str = SENT, **more: Any) -> World:
    if world.accounts.get("acme") is None:
        world.ev("01-01T00:00", "hello")  # Touchline itself makes no account
    data = {} if depth is None else {"depth": depth}
    event = Event(
        id=f"o{len(world.log)}", source="touchline", type=type_, account="acme",
        time=from_microseconds(us(short)), data=data, **more,
    )  # fmt: skip
    return world.put(event)


@pytest.mark.parametrize(
    ("type_", "data", "depth"),
    [
        (SENT, {"depth": 2}, 2),
        (SENT, {}, 1),  # from before there was a depth
        (SENT, None, 1),
        (SENT, {"depth": True}, 1),
        (SENT, {"depth": -5}, 0),
        ("touchline.task.completed", {}, 0),
        ("touchline.email.bounced", {"depth": 0}, 0),
        ("login", {"depth": 7}, 0),  # whatever those outside say
        ("touchlines", {"depth": 7}, 0),
    ],
)
def test_how_deep_an_event_is(type_: str, data: Any, depth: int) -> None:
    assert depth_of(type_, data) == depth


def test_at_a_depth_of_three_nothing_fires() -> None:
    world = World(rule(EACH, cooldown="0s"))
    for hour, depth in enumerate((0, 1, 2, 3, 4, None)):
        own(world, f"01-01T0{hour}:00", depth)
    assert [(trigger.at[11:13], trigger.depth) for trigger in world.triggers] == [
        ("00", 0),
        ("01", 1),
        ("02", 2),
        ("05", 1),
    ]
    assert world.engine.reasons["r", "loop"] == 2


def test_events_from_outside_fire_whatever_they_say() -> None:
    world = World(rule({"threshold": {"event": "login", "at_least": 1}}, cooldown="0s"))
    assert world.ev("01-01T09:00", "login", depth=9).told == ["r acme 01-01T09:00"]
    assert world.triggers[0].depth == 0


def test_deep_events_count_all_the_same() -> None:
    """They fire nothing themselves; an event from outside that they complete the count for does."""
    world = World(rule({"threshold": {"event": [SENT, "login"], "within": "5d", "at_least": 3}}))
    own(own(own(world, "01-01T00:00", 3), "01-01T01:00", 3), "01-01T02:00", 3)
    assert world.told == []
    assert world.ev("01-01T03:00", "login").told == ["r acme 01-01T03:00"]


def test_a_late_event_completes_no_check_at_a_deep_one() -> None:
    world = World(
        rule({"threshold": {"event": [SENT, "login"], "within": "5d", "at_least": 2}}, cooldown="0s")
    )
    own(world.ev("01-01T00:00", "other"), "01-03T00:00", 3).ev("01-03T00:00", "other")
    assert world.restart().ev("01-02T00:00", "login").told == []
    world = World(
        rule({"threshold": {"event": [SENT, "login"], "within": "5d", "at_least": 2}}, cooldown="0s")
    )
    own(world.ev("01-01T00:00", "other"), "01-03T00:00", 2).ev("01-03T00:00", "other")
    assert world.restart().ev("01-02T00:00", "login").told == ["r acme 01-03T00:00"]
    assert world.triggers[0].depth == 2


def test_a_moment_has_the_depth_of_what_armed_it() -> None:
    when = {"absence": {"event": "login", "since": {"event": SENT}, "for": "3d"}}
    for depth, fires in ((3, False), (2, True)):
        world = own(World(rule(when)), "01-01T00:00", depth).restart().clock("01-09T00:00")
        assert [trigger.depth for trigger in world.triggers] == ([2] if fires else [])
        assert world.engine.reasons["r", "loop"] == (0 if fires else 1)


def test_dates_ticks_and_conditions_begin_outside() -> None:
    date = rule({"date": {"attribute": "account.attributes.day", "before": "1d"}}, "date")
    tick = rule({"threshold": {"event": SENT, "within": "2d", "at_most": 9}}, "tick")
    becomes = rule({"becomes": {"is": {"account.attributes.day": {"exists": True}}}}, "becomes")
    world = own(World(date, tick, becomes), "01-01T00:00", 3)
    world.update("01-01T01:00", attributes={"day": "2026-01-09"}).clock("01-09T00:00")
    assert {(trigger.rule, trigger.depth) for trigger in world.triggers} == {
        ("date", 0),
        ("tick", 0),
        ("becomes", 0),
    }


def test_explain_says_loop_and_only_where_it_is_what_holds_the_rule_back() -> None:
    world = own(World(rule(EACH, cooldown="0s"), rule(EACH, "slow", cooldown="5d")), "01-01T00:00", 2)
    assert world.explain("01-01T01:00")["fires"] is True
    own(world, "01-01T02:00", 3)
    said = world.explain("01-01T03:00")
    assert (said["fires"], said["reason"], said["last_trigger"]) == (False, "loop", "2026-01-01T00:00:00Z")
    assert world.explain("01-01T03:00", "slow")["reason"] == "cooldown"
    assert own(world, "01-01T04:00", 0).explain("01-01T05:00")["fires"] is True
    assert world.explain("01-07T05:00", "slow")["fires"] is True


def test_the_mark_of_deep_events_is_stored_and_swept() -> None:
    world = own(World(rule(EACH, cooldown="0s")), "01-01T00:00", 3)
    state = world.accounts.states["acme"]
    assert decode(encode(state)).deep == {1: us("01-01T00:00")}
    for day in range(2, 31):
        for hour in range(10, 20):
            world.ev(f"01-{day:02}T{hour}:00", "other")
    assert world.accounts.states["acme"].deep is None
