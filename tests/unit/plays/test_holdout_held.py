"""Held out and held at once: a paused playbook holds the plays of those held out too, and they count for no limit."""

from dataclasses import replace
from typing import Any

import pytest

from services.actions.plays.model import Play
from services.actions.plays.program import Limit
from tests.unit.plays.kit import DAY, T0, World, account, book, event
from tests.unit.plays.test_holdout import GOAL, HALF, IN, OUT, fire

WAITS = [{"wait": "1d"}, {"task": {"title": "Call"}}]


def world(**fields: Any) -> World:
    made = World(book(**({"holdout": HALF, "goal": GOAL, "steps": WAITS} | fields)))
    made.say(account(T0, OUT), account(T0, IN))
    return made


def held(made: World, name: str) -> Play:
    made.holds.pause("book")
    play = fire(made, name, T0)
    assert (play.status, play.reason, play.began_at) == ("held", "paused", None)
    return play


def let_go(made: World, *plays: Play) -> None:
    made.holds.resume("book")
    made.holds.release(plays)
    made.catch_up()


def test_it_waits_like_the_others_and_touches_nobody_then() -> None:
    made = world()
    out, touched = held(made, OUT), held(made, IN)
    assert fire(made, OUT, T0 + 1).reason == "play_open"
    made.clock(T0 + DAY)
    let_go(made, out, touched)
    made.clock(T0 + 9 * DAY)
    assert (out.status, out.reason, out.began_at, out.ended_at) == (
        "held_out",
        "held_out",
        T0 + DAY,
        T0 + DAY,
    )
    assert (touched.status, touched.began_at) == ("finished", T0 + DAY)
    assert {action.account for action in made.store.actions.values()} == {IN}
    assert {one.account for one in made.store.events} == {IN}
    assert out.wait is None


def test_the_goal_counts_from_the_trigger_while_they_are_held_too() -> None:
    made = world()
    plays = [held(made, OUT), held(made, IN)]
    made.say(*(event("paid", T0 + DAY, name) for name in (OUT, IN)))
    let_go(made, *plays)
    made.clock(T0 + 9 * DAY)
    assert [play.status for play in plays] == ["held_out", "finished"]
    assert [(play.goal_until, play.goal_reached_at) for play in plays] == [(T0 + 7 * DAY, T0 + DAY)] * 2


@pytest.mark.parametrize("within", [None, "12h"])
def test_a_goal_reached_while_held_must_be_in_time_by_the_version_of_the_release(within: str | None) -> None:
    made = world()
    play = held(made, OUT)
    made.say(event("paid", T0 + DAY, OUT))
    assert play.goal_reached_at == T0 + DAY
    newer = book(holdout=HALF, goal=None if within is None else {**GOAL, "within": within})
    made.library._playbooks = World(newer).library._playbooks
    let_go(made, play)
    assert (play.status, play.goal_reached_at) == ("held_out", None)
    assert (play.goal_until is None) is (within is None)


@pytest.mark.parametrize("name", [OUT, IN])
def test_one_that_never_began_is_watched_for_nothing(name: str) -> None:
    made = world()
    play = held(made, name)
    made.clock(T0 + 8 * DAY)
    assert (play.status, play.reason) == ("skipped", "held_too_long")
    assert (play.began_at, play.goal_until) == (None, None)


@pytest.mark.parametrize(("name", "told"), [(OUT, []), (IN, ["play.exited"])])
def test_an_exit_of_a_held_play_tells_nothing_of_those_held_out(name: str, told: list[str]) -> None:
    made = world(exit_when={"event": "paid"})
    play = held(made, name)
    made.say(event("paid", T0 + DAY, name))
    assert (play.status, play.began_at, play.goal_until, play.goal_reached_at) == ("exited", None, None, None)
    assert made.told() == told


def test_who_is_held_out_counts_for_no_limit() -> None:
    made = world()
    library = made.library
    library._playbooks["book"] = replace(library._playbooks["book"], limit=Limit(1, DAY))
    assert [fire(made, OUT, T0 + number).status for number in range(5)] == ["held_out"] * 5
    assert fire(made, IN, T0 + 10).status == "open"
    more = [name for name in map(str, range(100, 140)) if fire_one(made, name) is not None]
    assert more
    assert {play.reason for play in made.store.plays.values() if play.account in more} == {"breaker"}


def fire_one(made: World, name: str) -> Play | None:
    """The play of another account, if the breaker holds it."""
    made.say(account(T0, name))
    play = fire(made, name, T0 + 20)
    return play if play.reason == "breaker" else None


def test_once_the_breaker_has_paused_it_those_held_out_wait_too() -> None:
    made = world()
    library = made.library
    library._playbooks["book"] = replace(library._playbooks["book"], limit=Limit(0, DAY))
    assert fire(made, OUT, T0).status == "held_out"
    assert fire(made, IN, T0 + 1).status == "held"
    assert fire(made, OUT, T0 + 2).status == "held"
