"""Merges of accounts that stood for one Segment user, and erasure after merges."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.forwarding import ERASED
from tests.unit.engine.merged import Merged, call, lone
from tests.unit.engine.world import rule

TWO = {"threshold": {"event": "tick", "within": "30d", "at_least": 2}}
GONE = {"absence": {"event": "tick", "for": "5d"}}


# -- lone accounts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "unvouched", "closes"),
    [
        ([{}], False, True),
        ([{}, {"contact": None}], False, True),
        ([{"source": "segment-public", "unvouched": True}], False, True),
        ([{"source": "segment-public", "unvouched": True}], True, True),
        ([{}, {"source": "segment-public", "unvouched": True}], True, False),
        ([{"unvouched": True}, {}], True, False),
        ([{"source": "api"}], False, False),
        ([{}, {"source": "api"}], False, False),
        ([{}, {"contact": "other"}], False, False),
        ([{"contact": "other"}, {}], False, False),
        ([], False, True),
    ],
)  # fmt: skip
def test_a_lone_merge_holds_if_that_user_alone_made_the_account(
    calls: list[dict[str, Any]], unvouched: bool, closes: bool
) -> None:
    for restarted in (False, True):
        world = Merged(rule(TWO))
        for one in calls:
            call(world, "01-01T00:00", "u1", **one)
        call(
            world, "01-01T01:00", "u1", type="touchline.play.started", source="touchline", contact=None
        ) if calls else None
        if restarted:
            world.restart()
        lone(world, "01-02T00:00", "u1", "globex", unvouched=unvouched)
        assert (world.into("u1") == "globex") is closes
        assert world.refused == []


def test_a_state_of_yesterday_is_no_lone_one() -> None:
    world = Merged(rule(TWO))
    call(world, "01-01T00:00", "u1")
    state = world.accounts.get("u1")
    assert state is not None
    state.lone = 0
    call(world, "01-01T00:00", "u1")
    lone(world, "01-02T00:00", "u1", "globex")
    assert world.into("u1") is None


def test_an_anonymous_user_becomes_the_known_one_and_that_one_joins_a_group() -> None:
    seen = {"threshold": {"event": "tick", "within": "30d", "at_least": 1}}
    world = Merged(rule(seen, scope="contact", cooldown="0s"))
    call(world, "01-01T00:00", "anon", contact=None)
    lone(world, "01-02T00:00", "anon", "u1", "u1")
    call(world, "01-03T00:00", "anon", contact=None)
    assert world.told == ["r u1/u1 01-03T00:00"]
    lone(world, "01-04T00:00", "u1", "globex", "u1")
    assert world.into("u1") == "globex"
    call(world, "01-05T00:00", "anon", contact=None)
    assert world.told[1:] == ["r globex/u1 01-05T00:00"]


def test_what_a_stranger_closed_opens_at_the_first_event_that_is_no_strangers() -> None:
    world = Merged(rule({"threshold": {"event": "tick", "within": "30d", "at_least": 1}}, cooldown="0s"))
    call(world, "01-01T00:00", "u1", source="segment-public", unvouched=True)
    lone(world, "01-02T00:00", "u1", "globex", unvouched=True, source="segment-public")
    call(world, "01-03T00:00", "u1", source="segment-public", unvouched=True)
    assert world.told == ["r u1/u1 01-01T00:00", "r globex/u1 01-03T00:00"]
    world.restart()
    call(world, "01-04T00:00", "u1")
    assert world.into("u1") is None
    assert world.told[2:] == ["r u1/u1 01-04T00:00"]
    assert [moved.closed is None and moved.absorbed is None for moved in world.moved] == [False, False, True]
    assert world.moved[-1].position.offset == len(world.log) - 2  # before the event that says so


def test_a_vouched_merge_takes_the_place_of_a_strangers() -> None:
    world = Merged()
    call(world, "01-01T00:00", "u1", source="segment-public", unvouched=True)
    lone(world, "01-02T00:00", "u1", "evil", unvouched=True, source="segment-public")
    lone(world, "01-03T00:00", "u1", "globex")
    assert world.into("u1") == "globex"
    lone(world, "01-04T00:00", "u1", "evil", unvouched=True, source="segment-public")
    assert world.into("u1") == "globex"
    assert world.refused == []


# -- erasure -------------------------------------------------------------------------------------------------------


def test_erasing_the_closed_account_leaves_the_other() -> None:
    world = Merged()
    world.update("01-01T00:00", "a", contacts=[{"id": "ann", "email": "ann@a"}]).merge(
        "01-02T00:00", "a", "b"
    )
    world.ev("01-03T00:00", "account.deleted", "a")
    assert set(world.accounts.states) == {"b"}
    assert world.contacts("b") == {"ann": "ann@a"}
    world.ev("01-04T00:00", account="a")  # from outside: a new one
    assert world.into("a") is None
    world.ev("01-05T00:00", "account.deleted", "b")
    assert set(world.accounts.states) == {"a"}  # which was never merged


def test_erasing_an_account_erases_those_that_were_merged_into_it() -> None:
    world = Merged()
    world.merge("01-02T00:00", "a", "b").merge("01-02T00:00", "b", "c")
    world.ev("01-03T00:00", "account.deleted", "c")
    assert set(world.accounts.states) == set()
    assert {name for name, _ in world.erased} == {"a", "b", "c"}
    world.ev("01-04T00:00", account="a", id="1")
    assert set(world.accounts.states) == {"a"}


def test_nothing_that_is_under_way_makes_an_erased_account_anew() -> None:
    world = Merged()
    world.ev("01-01T00:00", account="b")
    world.held = []
    world.update("01-01T00:00", "a", contacts=[{"id": "ann"}]).merge("01-02T00:00", "a", "b")
    world.ev("01-03T00:00", account="a", id="1")
    held, world.held = world.held, None
    world.ev("01-03T00:00", "account.deleted", "b")
    for event in held:
        world.put(event)
    assert set(world.accounts.states) == set()  # a goes with b, into which it was merged
    assert world.refused == ["'b' was erased, or has never taken in 'a'"]
    for event in held:
        world.put(event)
    assert set(world.accounts.states) == set()


def test_a_person_erased_at_the_account_that_goes_on_is_erased_where_they_came_from() -> None:
    world = Merged()
    world.update("01-01T00:00", "a", contacts=[{"id": "ann"}, {"id": "bob"}]).merge("01-02T00:00", "a", "b")
    world.ev("01-03T00:00", "contact.deleted", "b", contact="ann")
    assert world.contacts("b").keys() == {"bob"}
    assert ("a", "ann") in world.erased
    assert [e.account for e in world.sent if e.type == ERASED] == ["a"]
    call(world, "01-04T00:00", "u1")
    lone(world, "01-05T00:00", "u1", "b", "ulla")
    call(world, "01-05T00:00", "u1", type="contact.updated", data={"email": "u@u"})
    assert world.contacts("b").keys() == {"bob", "ulla"}
    world.ev("01-06T00:00", "contact.deleted", "b", contact="ulla")
    assert "u1" not in world.accounts.states  # a lone account is that person


def test_erasing_a_contact_by_the_old_name_erases_them_at_both() -> None:
    world = Merged()
    world.update("01-01T00:00", "a", contacts=[{"id": "ann"}]).merge("01-02T00:00", "a", "b")
    world.ev("01-03T00:00", "contact.deleted", "a", contact="ann")
    assert world.contacts("b") == {}
    assert {("a", "ann"), ("b", "ann")} <= set(world.erased)
