"""Waits for dates that are past, missing or moved; what is left out then, and plays that end when a value changes."""

from typing import Any

import pytest

from schemas.playbook import PlaybookIn
from services.actions.plays.program import set_aside
from tests.unit.plays.kit import DAY, T0, World, account, book, event

RENEWAL = "account.attributes.renewal"
MAIL = {"email": {"template": "hello"}}


def until(before: str, past: str = "skip", path: str = RENEWAL) -> dict[str, Any]:
    return {"wait": {"until_date": path, "before": before, "past": past}}


def task(title: str) -> dict[str, Any]:
    return {"id": title, "task": {"title": title, "key": title}}


def history(world: World) -> list[tuple[str, str, int]]:
    return [(note.step, note.reason, (note.at - T0) // DAY) for note in world.store.notes]


def ran(world: World) -> list[tuple[str, int]]:
    return [(action.step, (action.due_at - T0) // DAY) for action in world.store.actions.values()]


SERIES = [until("60d"), task("60"), until("30d"), task("30"), until("7d"), task("7"), task("end")]


@pytest.mark.parametrize(
    ("renewal", "expected"),
    [
        ("2026-03-02", [("60", 0), ("30", 30), ("7", 53), ("end", 53)]),  # in exactly 60 days: it is time
        ("2026-03-01", [("30", 29), ("7", 52), ("end", 52)]),  # a day too late for the first
        ("2026-01-06", [("end", 0)]),  # begun five days before: not four at once
        (None, [("end", 0)]),
        ("20260301", [("end", 0)]),
    ],
)
def test_a_play_begun_late_leaves_out_what_is_past(renewal: str | None, expected: list[Any]) -> None:
    world = World(book(steps=SERIES))
    world.say(account(attributes={"renewal": renewal}))
    world.fire(T0)
    world.clock(T0 + 100 * DAY)
    assert ran(world) == expected


def test_without_skip_what_is_past_goes_on_at_once_and_says_so() -> None:
    steps = [
        until("60d", "continue"),
        task("60"),
        until("0s", path="account.attributes.none", past="continue"),
        task("n"),
    ]
    world = World(book(steps=steps))
    world.say(account(attributes={"renewal": "2026-01-06"}))
    world.fire(T0)
    assert ran(world) == [("60", 0), ("n", 0)]
    assert history(world) == [("0", "date_past", 0), ("2", "no_date", 0)]


def test_what_is_left_out_is_named() -> None:
    world = World(book(steps=[until("60d"), task("60"), task("end")]))
    world.say(account())
    world.fire(T0)
    assert history(world) == [("0", "no_date", 0), ("60", "left_out", 0)]


def test_a_branch_is_left_out_as_a_whole_and_other_waits_and_branches_say_which_way() -> None:
    def either(name: str) -> dict[str, Any]:
        ways = {"then": [task(f"{name}-yes")], "else": [task(f"{name}-no")]}
        return {"id": name, "branch": {"if": {"account.name": "Acme"}, **ways}}

    paid = {"id": "pay", "wait": {"for": "9d", "until": {"event": "paid"}}}
    steps = [until("60d"), either("a"), paid, either("b"), {"id": "w", "wait": "2d"}, task("end")]
    world = World(book(steps=steps))
    world.say(account())
    world.fire(T0)
    world.say(event("paid", T0 + DAY))
    world.clock(T0 + 9 * DAY)
    assert ran(world) == [("b-yes", 1), ("end", 3)]
    assert history(world) == [
        ("0", "no_date", 0), ("a", "left_out", 0), ("pay", "event_came", 1), ("b", "condition_true", 1),
        ("w", "wait_over", 3),
    ]  # fmt: skip


def test_the_way_from_the_trigger_to_the_play_makes_nothing_past() -> None:
    """By the wall clock the play begins a little after its moment; a day after it, it is too late."""
    for lag, expected in ((DAY // 24, ["60", "end"]), (DAY, ["60", "end"]), (DAY + 1, ["end"])):
        world = World(book(steps=[until("60d"), task("60"), task("end")]))
        world.say(account(attributes={"renewal": "2026-03-02"}))
        world.say(event("it", T0 + lag))
        world.fire(T0)
        assert [step for step, _ in ran(world)] == expected


def test_a_date_moved_into_the_past_leaves_out_and_one_taken_away_keeps_its_moment() -> None:
    moved = {
        "2026-01-08": [("end", 1)],
        "2026-01-09": [("7", 1), ("end", 1)],
        None: [("end", 31)],
        "2026-02-20": [("7", 43), ("end", 43)],
    }
    for renewal, expected in moved.items():
        world = World(book(steps=[until("7d"), task("7"), task("end")]))
        world.say(account(attributes={"renewal": "2026-02-08"}))
        world.fire(T0)
        world.say(account(T0 + DAY, attributes={"renewal": renewal}))
        world.clock(T0 + 90 * DAY)
        assert ran(world) == expected


def test_a_date_that_comes_back_in_time_is_waited_for() -> None:
    world = World(book(steps=[until("7d"), task("7")]))
    world.say(account(attributes={"renewal": "2026-02-08"}))
    world.fire(T0)
    world.say(
        account(T0 + DAY, attributes={"renewal": None}),
        account(T0 + 2 * DAY, attributes={"renewal": "2026-02-10"}),
    )
    world.clock(T0 + 90 * DAY)
    assert ran(world) == [("7", 33)]
    assert history(world) == [("0", "wait_over", 33)]


@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ([until("7d")], "steps.0.wait.past"),
        ([until("7d"), {"wait": "1d"}, MAIL], "steps.0.wait.past"),
        (
            [MAIL, {"branch": {"if": {"account.tier": "low"}, "then": [until("7d")]}}, MAIL],
            "steps.1.branch.then.0.wait.past",
        ),
        ([{"wait": {"for": "7d", "until": {"event": "paid"}, "past": "skip"}}, MAIL], "until_date"),
        ([{"wait": {"until_date": RENEWAL, "past": "wait"}}, MAIL], "past"),
    ],
)
def test_skip_needs_a_step_to_leave_out(steps: Any, where: str) -> None:
    from backbone.errors import Invalid
    from backbone.web.validation import validate

    with pytest.raises(Invalid) as caught:
        validate(PlaybookIn, {"name": "book", "steps": steps})
    assert any(where in error["field"] for error in caught.value.errors), caught.value.errors


# -- exit_when: changed


def watching(*updates: Any, path: str = RENEWAL, at: Any = "2026-03-02", **fields: Any) -> str:
    world = World(book(steps=[task("now"), {"wait": "30d"}, task("later")], exit_when={"changed": path}))
    world.say(account(attributes={"renewal": at}, **fields))
    play = world.fire(T0, contact="ann")
    assert play is not None
    world.say(*updates)
    return play.status


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("2027-03-02", "exited"),
        (None, "exited"),
        ("soon", "exited"),
        ("2026-03-02", "open"),
        ("2026-03-02T00:00:00Z", "open"),
        ("2026-03-02T01:00:00+01:00", "open"),
        ("2026-03-02T00:00:01Z", "exited"),
    ],
)
def test_a_play_ends_when_a_date_moves_and_not_when_it_is_spelt_anew(value: Any, status: str) -> None:
    assert watching(account(T0 + DAY, attributes={"renewal": value})) == status


def test_numbers_and_names_and_what_is_not_watched() -> None:
    assert watching(account(T0 + 1, attributes={"renewal": 1.0}), at=1) == "open"
    assert watching(account(T0 + 1, attributes={"renewal": True}), at=1) == "exited"
    assert watching(account(T0 + 1, attributes={"renewal": 1}), at=None) == "exited"
    assert watching(account(T0 + 1, attributes={"other": 1})) == "open"
    assert watching(account(T0 + 1, name="beta", attributes={"renewal": 1})) == "open"
    assert watching(account(T0 + 1, owner={"email": "new@us.test"}), path="account.owner.email") == "exited"
    assert watching(account(T0 + 1, owner={"email": "jo@us.test"}), path="account.owner.email") == "open"


def test_a_contacts_value_is_that_of_the_triggers_contact() -> None:
    ann = event("contact.updated", T0 + 1, contact="ann", data={"roles": ["buyer"]})
    bob = event("contact.updated", T0 + 1, contact="bob", data={"roles": ["buyer"]})
    assert watching(ann, path="contact.roles") == "exited"
    assert watching(bob, path="contact.roles") == "open"


def test_the_value_is_the_one_at_the_triggers_place() -> None:
    """An update before the trigger's event is what it was decided by, however the two topics are read."""
    world = World(
        book(steps=[{"wait": "30d"}, task("later")], exit_when=[{"event": "paid"}, {"changed": RENEWAL}])
    )
    world.say(
        account(attributes={"renewal": "2026-03-02"}), account(T0 + 1, attributes={"renewal": "2026-03-03"})
    )
    play = world.fire(T0 + 1)
    world.say(account(T0 + 2, attributes={"renewal": "2026-03-03T00:00"}))
    assert play is not None
    assert play.status == "open"
    world.say(account(T0 + 3, attributes={"renewal": "2026-03-02"}))
    assert (play.status, play.reason) == ("exited", "exit_event")


def test_it_ends_before_the_moved_date_is_acted_on() -> None:
    world = World(book(steps=[until("7d", "continue"), task("7")], exit_when={"changed": RENEWAL}))
    world.say(account(attributes={"renewal": "2026-03-02"}))
    world.fire(T0)
    world.say(account(T0 + DAY, attributes={"renewal": "2026-01-03"}))
    world.clock(T0 + 90 * DAY)
    assert ran(world) == []


def test_open_tasks_of_a_finished_play_are_closed_too() -> None:
    world = World(book(exit_when={"changed": RENEWAL}))
    world.say(account(attributes={"renewal": "2026-03-02"}))
    world.fire(T0)
    world.say(account(T0 + DAY, attributes={"renewal": "2026-03-02"}))
    assert [one.status for one in world.store.tasks.values()] == ["open"]
    world.say(account(T0 + DAY, attributes={"renewal": "2027-03-02"}, name="Acme Inc"))
    world.say(account(T0 + 2 * DAY, attributes={"renewal": "2027-03-02"}))
    assert [(one.status, one.reason) for one in world.store.tasks.values()] == [("closed", "exit_event")]


@pytest.mark.parametrize(
    ("leave", "why"),
    [
        ({"changed": "account.tier"}, "stays the same"),
        ({"changed": "account.attributes"}, "one attribute"),
        ({"changed": "data.day"}, "must begin with one of"),
        ({"changed": RENEWAL, "event": "paid"}, "[Ee]xtra"),
        ({"changed": None}, "string"),
        ({}, "[Ff]ield required"),
    ],
)
def test_what_cannot_be_watched(leave: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        book(exit_when=leave)
    with pytest.raises(ValueError, match=why):
        book(exit_when=[{"event": "paid"}, leave])


def test_a_playbook_that_cannot_be_read_any_more_watches_nothing_new() -> None:
    assert set_aside("book", 1, {"exit_when": {"changed": RENEWAL}}, "why").watched == ()
