"""Plays that are held: they keep their place, begin when they are released, and end when they must not begin."""

from typing import Any

import pytest

from services.actions.plays.model import Play
from tests.unit.plays.kit import DAY, SECOND, T0, World, account, book, event
from tests.unit.plays.test_merging import closed

EXIT = {"event": "paid"}
WAITING: list[dict[str, Any]] = [{"wait": "2d"}, {"task": {"title": "Call"}}]


def held(world: World, **fields: Any) -> Play:
    """A play that is held while the playbook is paused."""
    world.holds.pause("book")
    play = world.fire(T0, **fields)
    assert play is not None
    assert play.status == "held"
    return play


def let_go(world: World, *plays: Play) -> None:
    world.holds.resume("book")
    world.holds.release(plays)
    world.catch_up()


def test_a_play_of_a_paused_playbook_is_held_and_does_nothing() -> None:
    world = World(book())
    world.say(account())
    play = held(world)
    assert (play.reason, play.held_at, play.ended_at, play.step) == ("paused", T0, None, None)
    assert world.acts() == []
    assert world.told() == []


def test_without_a_pause_nothing_is_held() -> None:
    world = World(book(), book("other"))
    world.say(account())
    world.holds.pause("other")
    play = world.fire(T0)
    assert play is not None
    assert (play.status, play.held_at, play.counts) == ("finished", None, True)


def test_a_released_play_begins_then() -> None:
    world = World(book())
    world.say(account())
    play = held(world)
    world.clock(T0 + DAY)
    let_go(world, play)
    assert (play.status, play.started_at, play.held_at) == ("finished", T0 + DAY, T0)
    assert not play.counts
    assert world.acts() == [("task", "jo@us.test", "done", None)]
    world.catch_up()
    assert len(world.acts()) == 1


def test_a_resume_without_a_release_begins_nothing() -> None:
    world = World(book())
    world.say(account())
    play = held(world)
    let_go(world)
    assert play.status == "held"


def test_released_plays_begin_in_the_order_of_their_triggers() -> None:
    world = World(book())
    world.say(account())
    plays = [held(world, key=key) for key in "cabd"]
    let_go(world, *plays)
    began = [one.data["key"] for one in world.store.events if one.type == "touchline.play.started"]
    assert began == list("cabd")


def test_a_held_play_keeps_its_place() -> None:
    world = World(book())
    world.say(account())
    held(world, key="88")
    other = world.fire(T0 + SECOND, key="88")
    assert other is not None
    assert (other.status, other.reason) == ("skipped", "play_open")
    assert held(world, key="89").status == "held"


def test_an_exit_ends_a_held_play_and_a_release_does_not_begin_it_after_that() -> None:
    world = World(book(exit_when=EXIT))
    world.say(account())
    play = held(world)
    world.say(event("paid", T0 + SECOND))
    assert (play.status, play.reason, play.ended_at) == ("exited", "exit_event", T0 + SECOND)
    let_go(world, play)
    assert world.acts() == []


def test_an_event_that_is_no_exit_leaves_a_held_play_alone() -> None:
    world = World(book(exit_when=EXIT | {"by": "data.invoice"}))
    world.say(account())
    play = held(world, key="88")
    world.say(event("paid", T0 + SECOND, data={"invoice": "89"}))
    assert play.status == "held"


@pytest.mark.parametrize("change", ["2026-06-01", None])
def test_a_value_that_changed_while_it_was_held_ends_the_play(change: str | None) -> None:
    world = World(book(exit_when={"changed": "account.attributes.renewal"}))
    world.say(account(attributes={"renewal": "2026-05-01"}))
    play = held(world)
    world.say(account(T0 + SECOND, attributes={"renewal": change}))
    assert play.status == "exited"


def test_a_play_held_too_long_is_skipped() -> None:
    world = World(book())
    world.say(account())
    play = held(world)
    world.clock(T0 + 7 * DAY - SECOND)
    assert play.status == "held"
    world.clock(T0 + 7 * DAY)
    assert (play.status, play.reason, play.ended_at) == ("skipped", "held_too_long", T0 + 7 * DAY)
    let_go(world, play)
    assert world.acts() == []
    again = world.fire(T0 + 8 * DAY)
    assert again is not None
    assert again.status == "finished"


def test_paused_again_before_it_began_it_is_held_from_the_first_time_on() -> None:
    world = World(book())
    world.say(account())
    play = held(world)
    world.clock(T0 + DAY)
    world.holds.resume("book")
    world.holds.release([play])
    world.holds.pause("book")
    world.catch_up()
    assert (play.status, play.held_at, play.released) == ("held", T0, None)
    world.clock(T0 + 7 * DAY)
    assert play.reason == "held_too_long"


def test_one_that_is_released_by_itself_runs_although_the_playbook_is_paused() -> None:
    world = World(book(steps=WAITING))
    world.say(account())
    play, other = held(world, key="1"), held(world, key="2")
    world.holds.release([play])
    world.catch_up()
    world.clock(T0 + 3 * DAY)
    assert (play.status, other.status) == ("finished", "held")


def test_open_plays_stand_still_while_the_playbook_is_paused() -> None:
    world = World(book(steps=WAITING))
    world.say(account())
    play = world.fire(T0)
    assert play is not None
    world.holds.pause("book")
    world.clock(T0 + 5 * DAY)
    assert (play.status, world.acts()) == ("open", [])
    world.holds.resume("book")
    world.catch_up()
    assert (play.status, play.ended_at) == ("finished", T0 + 5 * DAY)


def test_the_next_waits_count_from_when_it_went_on() -> None:
    world = World(book(steps=[*WAITING, *WAITING]))
    world.say(account())
    play = world.fire(T0)
    assert play is not None
    world.holds.pause("book")
    world.clock(T0 + 5 * DAY)
    world.holds.resume("book")
    world.catch_up()
    assert play.wait is not None
    assert play.wait.due == T0 + 7 * DAY


def test_a_wait_that_is_not_over_at_the_resume_goes_on_as_it_was() -> None:
    world = World(book(steps=WAITING))
    world.say(account())
    play = world.fire(T0)
    assert play is not None
    world.holds.pause("book")
    world.clock(T0 + DAY)
    world.holds.resume("book")
    world.catch_up()
    world.clock(T0 + 5 * DAY)
    assert play.ended_at == T0 + 2 * DAY


@pytest.mark.parametrize(("then", "status"), [("continue", "finished"), ("exit", "exited")])
def test_an_event_that_a_play_waits_for_counts_while_it_stands_still(then: str, status: str) -> None:
    wait = {"wait": {"for": "14d", "until": {"event": "login"}, "then": then}}
    world = World(book(steps=[wait, {"task": {"title": "Call"}}]))
    world.say(account())
    play = world.fire(T0)
    assert play is not None
    world.holds.pause("book")
    world.say(event("login", T0 + DAY))
    assert world.acts() == []
    world.clock(T0 + 3 * DAY)
    world.holds.resume("book")
    world.catch_up()
    assert (play.status, play.ended_at) == (status, T0 + (DAY if then == "exit" else 3 * DAY))
    assert [note.reason for note in world.store.notes] == (["event_came"] if then == "continue" else [])


def test_a_held_play_of_a_merged_account_exits() -> None:
    world = World(book())
    world.say(account())
    play = held(world)
    closed(world)
    assert (play.status, play.reason) == ("exited", "account_merged")


def test_an_erased_account_has_no_held_play() -> None:
    world = World(book())
    world.say(account())
    held(world)
    world.say(event("account.deleted", T0 + SECOND))
    assert world.store.plays == {}
