"""Mails that have to be approved: what waits, what ends the wait, and what goes on meanwhile."""

from typing import Any

import pytest

from tests.unit.plays.kit import DAY, SECOND, T0, World, account, book, event
from tests.unit.plays.test_merging import closed

ASKED: dict[str, Any] = {"template": "hello", "approve": True}
WAITS = ("email", "ann@acme.test", "pending", "awaiting_approval")
LATE = ("email", "ann@acme.test", "skipped", "not_approved")
LEFT = ("email", "ann@acme.test", "skipped", "play_exited")
SENT = ("email", "ann@acme.test", "done", None)


def begun(*steps: dict[str, Any], mode: str = "log", tier: str = "low", **fields: Any) -> World:
    """A world in which a play of these steps has begun."""
    world = World(book(steps=list(steps), **fields), mode=mode)
    world.say(account())
    world.fire(T0, tier=tier)
    return world


def tasks(world: World) -> list[tuple[str, str | None, str | None]]:
    """(status, reason, assignee) of every task."""
    return [(one.status, one.reason, one.assignee) for one in world.store.tasks.values()]


def only(world: World) -> str:
    (action,) = world.store.actions
    return action


def approved(world: World, at: int) -> bool:
    """Whether its only mail is approved, and begins."""
    found = world.store.approve(only(world), at)
    world.catch_up()
    return found


def test_a_mail_waits_and_the_play_goes_on() -> None:
    world = begun({"email": ASKED}, {"webhook": {"endpoint": "crm"}})
    assert world.acts() == [WAITS, ("webhook", "crm", "done", None)]
    assert tasks(world) == [("open", None, "jo@us.test")]
    (task,) = world.store.tasks.values()
    assert (task.id, task.due_at) == (next(iter(world.store.actions)), T0 + 7 * DAY)
    assert [play.status for play in world.store.plays.values()] == ["finished"]
    assert world.told() == ["play.started", "task.created", "webhook.delivered", "play.finished"]


@pytest.mark.parametrize(
    ("fields", "tier", "waits"),
    [
        ({"approve": True}, "low", True),
        ({"approve": False}, "low", False),
        ({}, "low", False),
        ({"approve": {"high": True}}, "high", True),
        ({"approve": {"high": True}}, "low", False),
        ({"approve": {"high": False, "low": True}}, "high", False),
    ],
)
def test_who_has_to_be_asked(fields: dict[str, Any], tier: str, waits: bool) -> None:
    world = begun({"email": {"template": "hello", **fields}}, tier=tier)
    assert world.acts() == [WAITS if waits else SENT]
    assert len(world.store.tasks) == waits


@pytest.mark.parametrize(
    ("approver", "asked"), [("owner", "jo@us.test"), ("lead@us.test", "lead@us.test"), (None, "jo@us.test")]
)
def test_the_task_is_for_the_approver(approver: str | None, asked: str) -> None:
    world = begun({"email": ASKED | ({} if approver is None else {"approver": approver})})
    assert tasks(world) == [("open", None, asked)]


def test_without_an_owner_the_task_is_nobodys() -> None:
    world = World(book(steps=[{"email": ASKED}]))
    world.say(account(owner=None))
    world.fire(T0)
    assert (world.acts(), tasks(world)) == ([WAITS], [("open", None, None)])


def test_each_recipient_has_a_task_and_those_left_out_have_none() -> None:
    world = World(book(steps=[{"email": ASKED | {"to": "all"}}]))
    people = [{"id": "bob", "email": "bob@acme.test"}, {"id": "off", "email": "o@acme.test", "active": False}]
    world.say(account(contacts=[*people, {"id": "ann", "email": "ann@acme.test"}]))
    world.fire(T0)
    assert [(status, reason) for _, _, status, reason in world.acts()] == [
        ("pending", "awaiting_approval"), ("skipped", "contact_inactive"), ("pending", "awaiting_approval"),
    ]  # fmt: skip
    assert len(world.store.tasks) == 2


def test_an_approval_sends_it_then_and_closes_the_task() -> None:
    world = begun({"email": ASKED})
    world.clock(T0 + DAY)
    assert approved(world, T0 + DAY)
    assert (world.acts(), tasks(world)) == ([SENT], [("closed", "approved", "jo@us.test")])
    (sent,) = [one for one in world.store.events if one.type == "touchline.email.sent"]
    assert sent.time == T0 + DAY
    assert not approved(world, T0 + DAY)
    assert not world.store.reject(only(world), T0)
    world.clock(T0 + 30 * DAY)
    assert world.acts() == [SENT]


def test_a_rejection_skips_it() -> None:
    world = begun({"email": ASKED})
    assert world.store.reject(only(world), T0)
    assert (world.acts(), tasks(world)) == ([LATE], [("closed", "not_approved", "jo@us.test")])
    assert "email.sent" not in world.told()
    assert not approved(world, T0)


@pytest.mark.parametrize(("given", "within"), [(None, 7 * DAY), ("2d", 2 * DAY), ("90s", 90 * SECOND)])
def test_the_time_is_over_to_the_second(given: str | None, within: int) -> None:
    world = begun({"email": ASKED | ({} if given is None else {"approve_within": given})})
    world.clock(T0 + within - SECOND)
    assert world.acts() == [WAITS]
    world.clock(T0 + within)
    assert (world.acts(), tasks(world)) == ([LATE], [("closed", "not_approved", "jo@us.test")])
    assert "email.sent" not in world.told()


def test_by_the_wall_clock_it_is_over_when_everything_before_was_read() -> None:
    world = begun({"email": ASKED | {"approve_within": "1d"}}, mode="wall")
    world.partition.advance_to(T0 + DAY)
    assert world.acts() == [WAITS]  # a second of grace
    while world.partition.advance_to(T0 + DAY + SECOND):
        pass
    assert world.acts() == [LATE]


def test_one_leap_of_the_clock_makes_a_mail_and_lets_its_time_be_over() -> None:
    world = begun(
        {"wait": "1d"},
        {"email": ASKED | {"approve_within": "1d"}},
        {"wait": "3d"},
        {"task": {"title": "Call"}},
    )
    world.clock(T0 + 9 * DAY)
    assert world.acts() == [LATE, ("task", "jo@us.test", "done", None)]
    assert tasks(world) == [("closed", "not_approved", "jo@us.test"), ("open", None, "jo@us.test")]


@pytest.mark.parametrize("finished", [False, True])
def test_an_exit_while_it_waits_skips_it_and_closes_the_task(finished: bool) -> None:
    """Also of a play that is finished otherwise."""
    more: list[dict[str, Any]] = [] if finished else [{"wait": "5d"}]
    world = begun({"email": ASKED}, *more, exit_when={"event": "paid"})
    world.say(event("paid", T0 + DAY))
    assert (world.acts(), tasks(world)) == ([LEFT], [("closed", "exit_event", "jo@us.test")])
    assert not approved(world, T0 + DAY)
    world.clock(T0 + 30 * DAY)
    assert world.acts() == [LEFT]


def test_an_exit_after_the_decision_changes_nothing_and_one_of_another_account_neither() -> None:
    world = begun({"email": ASKED}, {"wait": "5d"}, exit_when={"event": "paid"})
    world.say(event("paid", T0 + SECOND, "other"))
    assert world.acts() == [WAITS]
    approved(world, T0 + SECOND)
    world.say(event("paid", T0 + DAY))
    assert (world.acts(), tasks(world)) == ([SENT], [("closed", "approved", "jo@us.test")])


def test_while_the_playbook_is_paused_no_time_is_over() -> None:
    world = begun({"email": ASKED | {"approve_within": "1d"}})
    world.holds.pause("book")
    world.clock(T0 + 5 * DAY)
    assert world.acts() == [WAITS]
    world.holds.resume("book")
    world.catch_up()
    assert world.acts() == [LATE]


def test_a_mail_that_stands_still_is_looked_at_once_and_goes_on_with_its_playbook() -> None:
    world = begun({"email": ASKED})
    world.holds.pause("book")
    world.clock(T0 + DAY)
    assert world.store.approve(only(world), T0 + DAY)
    looks = [world.partition.catch_up() for _ in range(4)]
    assert looks[1:] == [False] * 3  # nothing is left to do while it stands
    assert [one.status for one in world.store.actions.values()] == ["pending"]
    world.holds.resume("book")
    world.catch_up()
    assert world.acts() == [SENT]


def test_what_was_erased_is_over() -> None:
    world = begun({"email": ASKED | {"approve_within": "1d"}})
    world.say(event("account.deleted", T0 + SECOND))
    world.clock(T0 + 5 * DAY)
    assert (world.acts(), tasks(world)) == ([], [])


@pytest.mark.parametrize("finished", [False, True])
def test_a_merge_ends_it(finished: bool) -> None:
    world = begun({"email": ASKED}, *([] if finished else [{"wait": "5d"}]))
    closed(world)
    assert (world.acts(), tasks(world)) == ([LEFT], [("closed", "account_merged", "jo@us.test")])


BOUNDED: dict[str, Any] = {
    "email": {"template": "final", "within": "9d"}
}  # it has a place among those that wait


def of(world: World) -> list[tuple[str, str | None, int | None]]:
    """(status, reason, when it began) of every action."""
    return [(one.status, one.reason, one.begun_at) for one in world.store.actions.values()]


def test_the_next_mail_of_the_play_waits_behind_it() -> None:
    world = begun({"email": ASKED | {"approve_within": "2d"}}, BOUNDED)
    assert of(world) == [("pending", "awaiting_approval", None), ("pending", "behind", None)]
    world.clock(T0 + 3 * DAY)
    assert of(world) == [("skipped", "not_approved", None), ("done", None, T0 + 2 * DAY)]
    world = begun({"email": ASKED}, BOUNDED)
    world.clock(T0 + DAY)
    assert world.store.approve(next(iter(world.store.actions)), T0 + DAY)
    world.catch_up()
    assert of(world) == [("done", None, T0 + DAY), ("done", None, T0 + DAY)]


def test_a_mail_that_begins_lets_none_begin_that_awaits_its_approval() -> None:
    world = begun({"email": ASKED}, {"email": ASKED})
    first, second = world.store.actions
    world.clock(T0 + DAY)
    world.store.approve(first, T0 + DAY)
    world.catch_up()
    world.clock(T0 + 2 * DAY)
    assert of(world) == [("done", None, T0 + DAY), ("pending", "awaiting_approval", None)]
    world.store.approve(second, T0 + 2 * DAY)
    world.catch_up()
    assert of(world)[1] == ("done", None, T0 + 2 * DAY)
