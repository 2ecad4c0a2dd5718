"""Who is held out: the share, that it stays so, and that nobody held out is touched; and the goal of all."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.actions.plays.holdout import is_held_out, number_of
from services.actions.plays.model import Play
from tests.unit.plays.kit import DAY, SECOND, T0, World, account, book, event

HALF = 50
GOAL = {"event": "paid", "within": "7d"}
CALL = {"task": {"title": "Call"}}
NAMES = st.text(min_size=1, max_size=20)
SHARES = st.floats(0, 50)
OUT = next(name for name in map(str, range(100)) if number_of("book", name) < HALF)
IN = next(name for name in map(str, range(100)) if number_of("book", name) >= HALF)


@given(NAMES, NAMES, SHARES, SHARES)
def test_a_raise_keeps_those_held_out(playbook: str, account: str, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert not is_held_out(playbook, account, less) or is_held_out(playbook, account, more)
    assert not is_held_out(playbook, account, 0)
    assert 0 <= number_of(playbook, account) < 100


@settings(max_examples=25)
@given(st.text(max_size=8), st.sampled_from([1, 5, 10, 12.5, 50]))
def test_the_share_held_out_is_that_asked_for(playbook: str, holdout: float) -> None:
    """Six standard deviations: never by chance."""
    count = 2_000
    found = sum(is_held_out(playbook, f"account-{number}", holdout) for number in range(count))
    share = holdout / 100
    assert abs(found - count * share) < 6 * (count * share * (1 - share)) ** 0.5


def test_playbooks_choose_apart_from_one_another() -> None:
    """Of those that one playbook holds out, another holds out its share and no more: nobody is always the one."""
    accounts = [f"account-{number}" for number in range(4_000)]
    mine = [name for name in accounts if is_held_out("a", name, 50)]
    both = sum(is_held_out("b", name, 50) for name in mine)
    assert abs(both - len(mine) / 2) < 6 * (len(mine) / 4) ** 0.5


def test_numbers_stay_as_they_are() -> None:
    """Written down: another hash would mix up those held out with those touched."""
    assert [round(number_of("book", name), 6) for name in ("acme", "globex", "é")] == NUMBERS


NUMBERS = [23.285709, 64.847079, 53.649505]


def world(name: str, **fields: Any) -> World:
    made = World(book(**({"holdout": HALF, "goal": GOAL} | fields)))
    made.say(account(T0, name))
    return made


def fire(made: World, name: str, at: int = T0 + SECOND, **fields: Any) -> Play:
    play = made.fire(at, account=name, **fields)
    assert play is not None
    return play


MUCH = [CALL, {"email": {"template": "hello"}}, {"webhook": {"endpoint": "crm"}}, {"wait": "1d"}, CALL]


def test_who_is_held_out_is_not_touched() -> None:
    made = world(OUT, steps=MUCH, exit_when={"event": "paid"})
    play = fire(made, OUT)
    made.say(event("paid", T0 + DAY // 2, OUT))
    made.clock(T0 + 30 * DAY)
    assert (play.status, play.reason, play.ended_at) == ("held_out", "held_out", T0 + SECOND)
    assert (made.acts(), made.told(), made.store.tasks, made.store.notes) == ([], [], {}, [])
    assert play.wait is None


def test_who_is_not_held_out_is_touched() -> None:
    made = world(IN, steps=MUCH)
    play = fire(made, IN)
    made.clock(T0 + 30 * DAY)
    assert play.status == "finished"
    assert [act[0] for act in made.acts()] == ["task", "email", "webhook", "task"]


def test_it_blocks_nothing_and_comes_again() -> None:
    made = world(OUT)
    plays = [fire(made, OUT, T0 + number * DAY) for number in (1, 2, 3)]
    assert [play.status for play in plays] == ["held_out"] * 3


def test_only_where_a_play_would_have_begun() -> None:
    made = World(book(holdout=HALF, steps={"high": [CALL]}))
    made.say(account(T0, OUT))
    play = fire(made, OUT, tier="low")
    assert (play.status, play.reason, play.began_at) == ("skipped", "tier_not_covered", None)


def test_an_open_play_of_before_the_holdout_is_still_in_the_way() -> None:
    before = book(steps=[{"wait": "9d"}])
    made = World(before)
    made.say(account(T0, OUT))
    assert fire(made, OUT).status == "open"
    made.library._playbooks = World(book(holdout=HALF)).library._playbooks
    assert fire(made, OUT, T0 + DAY).reason == "play_open"


@pytest.mark.parametrize("name", [IN, OUT])
@pytest.mark.parametrize("later", [1, 7 * DAY])
def test_the_goal_is_watched_also_after_the_end(name: str, later: int) -> None:
    made = world(name)
    play = fire(made, name)
    assert play.status in {"finished", "held_out"}
    assert (play.began_at, play.goal_until) == (T0 + SECOND, T0 + SECOND + 7 * DAY)
    made.say(event("paid", T0 + SECOND + later, name))
    assert play.goal_reached_at == T0 + SECOND + later


@pytest.mark.parametrize("name", [IN, OUT])
@pytest.mark.parametrize(
    ("type_", "at", "more"),
    [
        ("paid", 7 * DAY + 1, {}),
        ("paid", -1, {}),
        ("sold", DAY, {}),
        ("paid", DAY, {"data": {"amount": 1}}),
        ("paid", DAY, {"data": {"amount": 9, "invoice": "other"}}),
        ("touchline.play.started", DAY, {"data": {"play": "another"}}),
    ],
)
def test_what_does_not_reach_it(name: str, type_: str, at: int, more: Any) -> None:
    goal = {
        "event": ["paid", "touchline.play.started"],
        "where": {"data.amount": {"gt": 5}},
        "by": "data.invoice",
    }
    made = world(name, goal={**goal, "within": "7d"})
    play = fire(made, name, key="88")
    data = {"amount": 9, "invoice": "88"}
    made.say(event(type_, T0 + SECOND + at, name, **({"data": data} | more)))
    made.say(event("paid", T0 + DAY, "another", data=data))
    assert play.goal_reached_at is None
    made.say(event("paid", T0 + 3 * DAY, name, data=data))
    assert play.goal_reached_at == T0 + 3 * DAY


@pytest.mark.parametrize("name", [IN, OUT])
def test_it_is_reached_once_whatever_is_repeated(name: str) -> None:
    made = world(name)
    play = fire(made, name)
    made.say(event("paid", T0 + DAY, name, id="a"), event("paid", T0 + DAY, name, id="a"))
    made.say(event("paid", T0 + 2 * DAY, name, id="a"), event("paid", T0 + 3 * DAY, name, id="b"))
    assert play.goal_reached_at == T0 + DAY


@pytest.mark.parametrize("name", [IN, OUT])
@pytest.mark.parametrize(("arrives", "counts"), [(10, True), (15.1, False)])
def test_a_late_event_counts_as_long_as_rules_would_count_it(name: str, arrives: float, counts: bool) -> None:
    made = world(name)
    play = fire(made, name)
    made.clock(T0 + round(arrives * DAY))
    made.say(event("paid", T0 + 2 * DAY, name))
    assert (play.goal_reached_at == T0 + 2 * DAY) is counts


def test_an_exit_may_be_the_goal_too() -> None:
    made = world(IN, steps=[{"wait": "5d"}, CALL], exit_when={"event": "paid"})
    play = fire(made, IN)
    made.say(event("paid", T0 + DAY, IN))
    assert (play.status, play.goal_reached_at) == ("exited", T0 + DAY)


def test_a_contact_s_goal_is_not_reached_by_another_contact() -> None:
    made = world(OUT)
    play = fire(made, OUT, contact="ann", scope="contact")
    made.say(event("paid", T0 + DAY, OUT, contact="bob"))
    assert play.goal_reached_at is None
    made.say(event("paid", T0 + 2 * DAY, OUT, contact="ann"))
    assert play.goal_reached_at == T0 + 2 * DAY


def test_without_a_goal_nothing_is_watched() -> None:
    made = world(OUT, goal=None)
    play = fire(made, OUT)
    made.say(event("paid", T0 + DAY, OUT))
    assert (play.status, play.goal_until, play.goal_reached_at) == ("held_out", None, None)
