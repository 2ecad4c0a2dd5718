"""What ends a play, a wait or a task, and what must not."""

from typing import Any

import pytest

from tests.unit.plays.kit import DAY, T0, World, account, book, event

WAITING = [{"task": {"title": "Call"}}, {"wait": "7d"}, {"email": {"template": "hello"}}]


def exits(
    exit_when: Any, *events: Any, steps: Any = WAITING, **trigger: Any
) -> tuple[str, str | None, list[Any]]:
    """How the play stands after the events: status, reason, the task's status."""
    world = World(book(steps=steps, exit_when=exit_when))
    world.say(account())
    play = world.fire(T0, **trigger)
    assert play is not None
    world.say(*events)
    return play.status, play.reason, [task.status for task in world.store.tasks.values()]


ENDED = ("exited", "exit_event", ["closed"])
OPEN = ("open", None, ["open"])


@pytest.mark.parametrize(
    ("exit_when", "happened", "expected"),
    [
        ({"event": "paid"}, event("paid", T0 + 1), ENDED),
        ({"event": "paid"}, event("login", T0 + 1), OPEN),
        ({"event": "paid"}, event("paid", T0 + 1, account="beta"), OPEN),
        ({"event": ["a", "paid"]}, event("paid", T0 + 1), ENDED),
        ([{"event": "a"}, {"event": "paid"}], event("paid", T0 + 1), ENDED),
        ({"event": "*"}, event("anything", T0 + 1), ENDED),
        ({"event": "*"}, account(T0 + 1), OPEN),  # reserved types are not among "*"
        ({"event": "paid", "where": {"data.amount": {"gte": 10}}}, event("paid", T0 + 1, data={"amount": 10}), ENDED),
        ({"event": "paid", "where": {"data.amount": {"gte": 10}}}, event("paid", T0 + 1, data={"amount": 9}), OPEN),
        ({"event": "account.updated", "where": {"account.attributes.health": {"gte": 50}}},
         account(T0 + 1, attributes={"health": 50}), ENDED),
        ({"event": "account.updated", "where": {"account.attributes.health": {"gte": 50}}},
         account(T0 + 1, attributes={"health": 49}), OPEN),
        ({"event": "paid"}, event("paid", T0 - 30 * DAY), ENDED),  # the place counts, not the time
        ({"event": "paid"}, event("paid", T0 + 1, historical=True), ENDED),
    ],
)  # fmt: skip
def test_exit_events(exit_when: Any, happened: Any, expected: Any) -> None:
    assert exits(exit_when, happened) == expected


@pytest.mark.parametrize(
    ("key", "value", "ends"),
    [("88", "88", True), ("88", 88, True), ("88", "89", False), ("88", None, False), ("true", True, True),
     ("88.5", 88.5, True), (None, "88", False), ("1", True, False)],
)  # fmt: skip
def test_by_must_equal_the_triggers_key(key: str | None, value: Any, ends: bool) -> None:
    happened = event("paid", T0 + 1, data={} if value is None else {"invoice": value})
    expected = ENDED if ends else OPEN
    assert exits({"event": "paid", "by": "data.invoice"}, happened, key=key) == expected


def test_an_event_at_an_earlier_place_ends_nothing() -> None:
    world = World(book(steps=WAITING, exit_when={"event": "paid"}))
    world.say(account(), event("paid", T0 + DAY))
    play = world.fire(T0 + DAY)  # fired by the payment itself, or by something before it
    assert play is not None
    assert play.status == "open"


def test_a_repeat_of_an_earlier_event_ends_nothing() -> None:
    world = World(book(steps=WAITING, exit_when={"event": "paid"}))
    paid = event("paid", T0)
    world.say(account(), paid)
    play = world.fire(T0)
    world.say(event("paid", T0, id=paid.id))
    assert play is not None
    assert play.status == "open"
    world.say(event("paid", T0, id="another"))
    assert play.status == "exited"


def test_a_repeated_update_does_not_bring_back_what_was() -> None:
    world = World(book())
    first = account(attributes={"status": "active"})
    world.say(first, account(T0 + 1, attributes={"status": "churned"}), first)
    profile = world.store.profile("acme")
    assert profile is not None
    assert profile.attributes == {"status": "churned"}


def test_what_another_contact_did_does_not_end_a_contacts_play() -> None:
    login = {"event": "login"}
    ann = {"scope": "contact", "contact": "ann"}
    assert exits(login, event("login", T0 + 1, contact="bob"), **ann) == OPEN
    assert exits(login, event("login", T0 + 1, contact="ann"), **ann) == ENDED
    assert exits(login, event("login", T0 + 1), **ann) == ENDED
    assert exits(login, event("login", T0 + 1, contact="bob"), contact="ann") == ENDED  # account scope
    news = {"event": "contact.updated", "where": {"contact.roles": {"contains": "champion"}}}
    update = event("contact.updated", T0 + 1, contact="bob", data={"roles": ["champion"]})
    assert exits(news, update, **ann) == ENDED


def test_nothing_comes_after_an_exit() -> None:
    world = World(book(steps=WAITING, exit_when={"event": "paid"}))
    world.say(account())
    play = world.fire(T0)
    world.say(event("paid", T0 + DAY))
    world.clock(T0 + 30 * DAY)
    assert play is not None
    assert (play.ended_at, play.wait) == (T0 + DAY, None)
    assert [action.channel for action in world.store.actions.values()] == ["task"]
    assert world.told() == ["play.started", "task.created", "play.exited"]


def test_open_tasks_of_a_finished_play_still_obey_the_exit() -> None:
    world = World(book(exit_when={"event": "paid"}))
    world.say(account())
    play = world.fire(T0)
    assert play is not None
    assert play.status == "finished"
    world.say(event("paid", T0 + 1))
    (task,) = world.store.tasks.values()
    assert (play.status, task.status, task.reason) == ("finished", "closed", "exit_event")


UNTIL = {"for": "7d", "until": {"event": "reply"}}


@pytest.mark.parametrize(
    ("then", "happened", "at", "status"),
    [
        ("continue", "reply", DAY, "finished"),
        ("exit", "reply", None, "exited"),
        ("continue", "other", 7 * DAY, "finished"),
        ("exit", "other", 7 * DAY, "finished"),
    ],
)
def test_a_wait_until_an_event(then: str, happened: str, at: int | None, status: str) -> None:
    world = World(book(steps=[{"wait": UNTIL | {"then": then}}, {"task": {"title": "Go"}}]))
    world.say(account())
    play = world.fire(T0)
    world.say(event(happened, T0 + DAY))
    world.clock(T0 + 10 * DAY)
    assert play is not None
    assert play.status == status
    assert [a.due_at - T0 for a in world.store.actions.values()] == ([] if at is None else [at])
    assert play.reason == ("until_event" if status == "exited" else "completed")


def test_one_event_ends_one_wait_only() -> None:
    world = World(
        book(steps=[{"wait": UNTIL}, {"task": {"title": "One"}}, {"wait": UNTIL}, {"task": {"title": "Two"}}])
    )
    world.say(account())
    world.fire(T0)
    reply = event("reply", T0 + DAY)
    world.say(reply, reply)  # the second is a repeat
    assert len(world.store.actions) == 1
    world.say(event("reply", T0 + 2 * DAY))
    assert len(world.store.actions) == 2


def test_a_wait_due_at_the_time_of_the_event_is_over_before_it() -> None:
    world = World(book(steps=[{"wait": UNTIL | {"then": "exit"}}, {"task": {"title": "Go"}}]))
    world.say(account())
    play = world.fire(T0)
    world.say(event("reply", T0 + 7 * DAY))
    assert play is not None
    assert play.status == "finished"


def test_own_events_count_for_their_play_only() -> None:
    steps = [{"wait": {"for": "7d", "until": {"event": "touchline.email.bounced"}, "then": "exit"}}]
    world = World(book(steps=steps))
    world.say(account())
    one, other = world.fire(T0, key="1"), world.fire(T0, key="2")
    assert one is not None
    assert other is not None
    world.say(event("touchline.email.bounced", T0 + 1, data={"play": one.id}))
    assert (one.status, other.status) == ("exited", "open")


def test_an_exit_of_one_subject_leaves_the_other() -> None:
    world = World(book(steps=WAITING, exit_when={"event": "paid", "by": "data.invoice"}))
    world.say(account())
    one, other = world.fire(T0, key="88"), world.fire(T0, key="89")
    world.say(event("paid", T0 + 1, data={"invoice": 88}))
    assert one is not None
    assert other is not None
    assert (one.status, other.status) == ("exited", "open")
    tasks = [(task.key, task.play, task.status) for task in world.store.tasks.values()]
    assert tasks == [("book/0", other.id, "open")], "the call is the other play's, which updated it last"


def test_erasure_takes_plays_actions_and_tasks_along() -> None:
    world = World(book(steps=WAITING))
    world.say(account(), account(name="beta"))
    world.fire(T0)
    world.fire(T0, account="beta")
    world.say(event("account.deleted", T0 + 1))
    left = (world.store.plays, world.store.actions, world.store.tasks)
    assert all({one.account for one in held.values()} == {"beta"} for held in left)
    assert world.store.profile("acme") is None


def test_erasure_of_a_contact_leaves_the_others() -> None:
    world = World(book(steps=[{"email": {"template": "hello", "to": "all"}}, {"wait": "1d"}]))
    world.say(account())
    world.fire(T0, contact="ann", key="1")
    world.fire(T0, contact="bob", key="2")
    world.say(event("contact.deleted", T0 + 1, contact="ann"))
    assert [play.contact for play in world.store.plays.values()] == ["bob"]
    assert [action.contact for action in world.store.actions.values()] == ["bob"]
    profile = world.store.profile("acme")
    assert profile is not None
    assert list(profile.contacts) == ["bob"]


def test_a_name_used_again_is_a_repeat_for_seven_days_and_with_the_same_time_for_good() -> None:
    for later, time, ends in ((7, None, False), (8, None, True), (8, T0, False), (3, None, False)):
        world = World(book(steps=WAITING, exit_when={"event": "paid"}))
        world.say(account(), event("paid", T0, id="inv-88"))
        world.clock(T0 + later * DAY)
        play = world.fire(T0 + later * DAY)
        world.say(event("paid", T0 + later * DAY if time is None else time, id="inv-88"))
        assert play is not None
        assert (play.status == "exited") == ends, (later, time)
