"""How a play starts, and when it must not."""

import pytest

from schemas.playbook import PlaybookIn
from tests.unit.plays.kit import DAY, T0, World, account, book, event

EMAIL = [{"email": {"template": "hello"}}]


def test_a_trigger_starts_a_play_that_runs_to_its_end() -> None:
    world = World(book(topic="billing"))
    world.say(account())
    play = world.fire(T0)
    assert play is not None
    assert (play.status, play.reason, play.started_at, play.ended_at) == ("finished", "completed", T0, T0)
    assert (play.rule, play.tier, play.topic, play.playbook_version) == ("rule", "low", "billing", 1)
    assert world.acts() == [("task", "jo@us.test", "done", None)]
    assert world.told() == ["play.started", "task.created", "play.finished"]


def test_the_same_trigger_again_starts_nothing() -> None:
    world = World(book())
    world.say(account())
    first = world.fire(T0)
    again = world.fire(T0)
    assert first is again
    assert len(world.store.plays) == len(world.store.actions) == 1


@pytest.mark.parametrize("fields", [{"shadow": True}, {"playbook": None}])
def test_shadow_triggers_and_those_without_playbook_leave_no_play(fields: dict[str, object]) -> None:
    world = World(book())
    world.say(account())
    assert world.fire(T0, **fields) is None
    assert not world.store.plays
    assert not world.store.events


def test_an_unknown_playbook_leaves_a_skipped_play() -> None:
    world = World(book())
    world.say(account())
    play = world.fire(T0, playbook="nowhere")
    assert play is not None
    assert (play.status, play.reason, play.playbook_version) == ("skipped", "playbook_unknown", None)
    assert not world.store.actions
    assert not world.store.events


def test_a_tier_without_steps_is_skipped_and_one_with_an_empty_list_finishes() -> None:
    world = World(book(steps={"high": [{"task": {"title": "Call"}}], "tech": []}))
    world.say(account())
    low, tech = world.fire(T0, tier="low"), world.fire(T0, tier="tech", key="other")
    assert low is not None
    assert tech is not None
    assert (low.status, low.reason) == ("skipped", "tier_not_covered")
    assert tech.status == "finished"
    assert not world.store.actions


def test_a_subject_with_an_open_play_of_the_playbook_gets_no_second_one() -> None:
    world = World(book(steps=[*EMAIL, {"wait": "7d"}, *EMAIL]))
    world.say(account())
    world.fire(T0)
    world.say(event("it", T0 + DAY))
    second = world.fire(T0 + DAY)
    assert second is not None
    assert (second.status, second.reason) == ("skipped", "play_open")
    assert len(world.store.actions) == 1


@pytest.mark.parametrize(
    ("first", "second", "starts"),
    [
        ({"key": "88"}, {"key": "89"}, True),
        ({"key": "88"}, {"key": "88"}, False),
        ({"scope": "contact", "contact": "ann"}, {"scope": "contact", "contact": "bob"}, True),
        ({"scope": "contact", "contact": "ann"}, {"scope": "contact", "contact": "ann"}, False),
        ({"contact": "ann"}, {"contact": "bob"}, False),  # account scope: the subject is the account
        ({}, {"playbook": "other"}, True),
        ({}, {"account": "beta"}, True),
        ({}, {"rule": "another-rule"}, False),
    ],
)
def test_what_a_subject_is(first: dict[str, object], second: dict[str, object], starts: bool) -> None:
    steps = [{"wait": "7d"}]
    world = World(book(steps=steps), book("other", steps=steps))
    world.say(account())
    world.fire(T0, **first)
    world.say(event("it", T0 + 1))
    play = world.fire(T0 + 1, **second)
    assert play is not None
    assert play.status == ("open" if starts else "skipped")


def test_after_the_end_of_a_play_the_next_one_starts() -> None:
    world = World(book(steps=[{"wait": "1d"}]))
    world.say(account())
    world.fire(T0)
    world.say(event("it", T0 + DAY))
    play = world.fire(T0 + DAY)
    assert play is not None
    assert play.status == "open"


def test_ids_are_functions_of_the_trigger() -> None:
    worlds = [World(book(steps=[*EMAIL, {"task": {"title": "Call"}}])) for _ in range(2)]
    for world in worlds:
        world.say(account())
        world.fire(T0)
    one, other = worlds
    assert list(one.store.plays) == list(other.store.plays)
    assert list(one.store.actions) == list(other.store.actions)
    assert [told.id for told in one.store.events] == [told.id for told in other.store.events]
    assert len(set(one.store.actions)) == 2


def test_a_play_starts_at_the_later_of_clock_and_trigger() -> None:
    world = World(book(steps=[{"wait": "1d"}]))
    world.say(account(T0 + DAY))
    late = world.fire(T0)
    ahead = world.fire(T0 + 2 * DAY, key="other")
    assert late is not None
    assert ahead is not None
    assert late.started_at == T0 + DAY
    assert ahead.started_at == T0 + 2 * DAY


def test_the_example_of_the_contract_can_be_read() -> None:
    read = PlaybookIn.model_validate(
        {
            "name": "invoice-overdue",
            "exit_when": {"event": "invoice.paid", "by": "data.invoice"},
            "steps": {"high": [{"task": {"title": "Call", "assignee": "owner", "due": "1d"}}], "low": EMAIL},
        }
    )
    assert sorted(read.by_tier()) == ["high", "low"]
