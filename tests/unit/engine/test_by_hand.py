"""A trigger by hand tells of its subject what one tells that fires by itself, so that the same mails can be written."""

from __future__ import annotations

from typing import Any

from schemas.event import RULES_START, Event, from_microseconds
from schemas.trigger import Trigger
from services.rules.engine.by_hand import Named, StartRequest
from tests.unit.engine.world import World, rule, us


def started(world: World, short: str) -> list[Trigger]:
    """The triggers of a start of `acme` at a time."""
    request = StartRequest("start_k", "r", [Named("acme")], matching=False)
    world.engine._starts = {"start_k": request}.get
    world.clock(short)
    before = len(world.triggers)
    time = from_microseconds(us(short))
    world.put(Event(type=RULES_START, id="s", source="touchline", time=time, data={"start": "start_k"}))
    return world.triggers[before:]


def count(**more: Any) -> dict[str, Any]:
    return {"threshold": {"event": "tick", "within": "10d", "at_least": 5, **more}}


def test_of_a_threshold_it_has_the_window_the_evidence_and_the_newest_event() -> None:
    world = World(rule(count()))
    world.ev("01-01T00:00", id="old").ev("01-05T00:00", id="a", contact="ann", n=1)
    world.ev("01-07T00:00", id="b", contact="bob", n=2)
    [one] = started(world, "01-12T00:00")
    assert (one.value, one.threshold, one.evidence) == (2, 5, ["a", "b"])
    assert one.window is not None
    assert (one.window.from_, one.window.to) == ("2026-01-02T00:00:00Z", "2026-01-12T00:00:00Z")
    assert one.event is not None
    assert (one.event_id, one.event.time, one.event.data) == ("b", "2026-01-07T00:00:00Z", {"n": 2})
    assert (one.contact, one.depth) == ("bob", 0)


def test_without_an_event_to_show_it_shows_none() -> None:
    seldom = rule({"threshold": {"event": "tick", "within": "10d", "at_most": 1}}, cooldown="0s")
    [one] = started(World(seldom).ev("01-01T00:00"), "01-20T00:00")
    assert (one.value, one.event, one.contact, one.evidence) == (0, None, None, [])
    world = World(rule(count())).ev("01-10T00:00", contact="ann")
    world.log[0] = None  # type: ignore[call-overload]  # as if the log had it no more

    def gone(_: int) -> Event:
        raise LookupError

    world.engine._fetch = gone
    [one] = started(world, "01-12T00:00")
    assert (one.value, one.event, one.event_id, one.contact, one.evidence) == (1, None, None, None, ["e0"])


def test_it_shows_no_event_of_an_erased_contact() -> None:
    world = World(rule(count()))
    world.ev("01-05T00:00", "contact.updated", contact="ann", name="Ann").ev(
        "01-06T00:00", contact="ann", n=1
    )
    world.ev("01-07T00:00", "contact.deleted", contact="ann")
    [one] = started(world, "01-08T00:00")
    assert (one.value, one.event, one.contact) == (1, None, None)


def test_of_an_absence_it_has_the_event_that_armed_it_however_long_ago_it_fired() -> None:
    world = World(rule({"absence": {"event": "tick", "for": "3d"}}))
    world.ev("01-01T00:00", id="last", contact="ann", n=7).clock("01-10T00:00")
    [fired] = world.triggers
    [one] = started(world.restart(), "01-11T00:00")
    assert (one.event, one.contact, one.evidence) == (fired.event, "ann", ["last"])
    assert (one.event_id, one.value) == ("last", 864_000)
    world = World(rule({"absence": {"event": "tick", "for": "30d"}})).ev("01-01T00:00")
    [one] = started(world, "01-11T00:00")
    assert one.event_id == "e0"


def test_of_a_trend_it_has_the_figures_and_the_recent_span() -> None:
    when = {"trend": {"event": "tick", "over": "7d", "baseline": "14d", "falls_by": 99}}
    world = World(rule(when)).ev("01-01T00:00", "login")
    for day in range(2, 16):
        world.ev(f"01-{day:02}T12:00", id=f"t{day}")
    world.ev("01-20T12:00", id="late")
    [one] = started(world, "01-23T00:00")
    assert one.figures == {"recent": 1, "baseline": 14}
    assert one.window is not None
    assert one.window.from_ == "2026-01-16T00:00:00Z"
    assert (one.evidence, one.event) == (["late"], None)
