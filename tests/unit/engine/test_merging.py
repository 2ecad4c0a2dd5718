"""Accounts that are merged: what the engine of their partition closes, sends on, takes in and refuses."""

from __future__ import annotations

import pytest

from schemas.event import Event, from_microseconds, microseconds
from schemas.forwarding import ABSORBED, MAX_HOPS
from tests.unit.engine.merged import Merged, sent_on
from tests.unit.engine.world import DAY, rule, us

TWO = {"threshold": {"event": "tick", "within": "30d", "at_least": 2}}
GONE = {"absence": {"event": "tick", "for": "5d"}}


def test_a_closed_account_fires_nothing_and_its_events_count_for_the_other() -> None:
    world = Merged(rule(TWO), rule(GONE, "gone"))
    world.ev("01-01T00:00", account="a", id="1").merge("01-02T00:00", "a", "b")
    assert world.into("a") == "b"
    world.ev("01-03T00:00", account="a", id="2")
    assert world.told == []  # neither two of a, nor two of b: a's first was before
    world.ev("01-04T00:00", account="b", id="3")
    assert world.told == ["r b 01-04T00:00"]
    assert world.triggers[0].evidence == ["2", "3"]
    world.clock("01-20T00:00")
    assert world.told[1:] == ["gone b 01-09T00:00"]
    assert world.explain("01-20T00:00", account="a")["reason"] == "account_merged"


def test_timers_of_the_closed_account_are_dropped_and_stay_so_after_a_restart_and_a_save() -> None:
    dates = {"date": {"attribute": "account.attributes.end", "before": "1d"}}
    world = Merged(rule(GONE, "gone"), rule(dates, "dates"))
    world.update("01-01T00:00", "a", attributes={"end": "2026-01-10"}).ev("01-01T00:00", account="a")
    world.merge("01-02T00:00", "a", "b").restart()
    world.save(
        "01-03T00:00", rule(GONE, "gone", version=2), rule(dates, "dates"), tiers={"tiers": [{"tier": "low"}]}
    )
    world.clock("02-01T00:00")
    assert world.told == []
    state = world.accounts.get("a")
    assert state is not None
    assert state.due is None


def test_a_backfill_leaves_the_past_where_it_was_and_counts_what_was_sent_on_once() -> None:
    world = Merged()
    for n in (1, 2):
        world.ev(f"01-0{n}T00:00", account="a", id=str(n))
    world.merge("01-03T00:00", "a", "b")
    world.ev("01-04T00:00", account="a", id="3").ev("01-05T00:00", account="b", id="4")
    world.save(
        "01-06T00:00", rule({"threshold": {"event": "tick", "within": "30d", "at_least": 3}}, backfill=True)
    )
    world.ev("01-07T00:00", account="a", id="5")
    assert world.told == ["r b 01-07T00:00"]
    assert world.triggers[0].evidence == ["3", "4", "5"]


# -- once, whichever way they come ---------------------------------------------------------------------------------


def test_an_event_sent_again_is_known_under_the_account_it_was_first_given() -> None:
    world = Merged(rule(TWO))
    world.ev("01-01T00:00", account="a", id="1").merge("01-02T00:00", "a", "b")
    world.ev("01-01T00:00", account="a", id="1")  # of a's past
    world.ev("01-03T00:00", account="a", id="1")  # the same, with another time
    world.ev("01-03T00:00", account="a", id="2").ev("01-03T00:00", account="a", id="2")
    assert sent_on(world) == [("2", "b", "a")]
    assert world.told == []
    # long after its id is forgotten: what was known for seven days of a's time is late by then, and counts no more
    world.ev("01-20T00:00", account="a", id="3").ev("01-03T00:00", account="a", id="2")
    assert [one[0] for one in sent_on(world)] == ["2", "3"]
    assert world.told == ["r b 01-20T00:00"]


def test_what_the_relay_repeats_counts_once() -> None:
    world = Merged(rule(TWO))
    world.merge("01-02T00:00", "a", "b")
    world.ev("01-03T00:00", account="a", id="1")
    for again in list(world.sent):
        world.put(again)
    assert world.told == []
    assert world.engine.reasons["", "duplicate"] == 2


def test_two_events_of_one_id_both_count_and_the_same_event_under_two_names_once() -> None:
    for first, second in (("a", "b"), ("b", "a")):
        world = Merged(rule(TWO))
        world.ev("01-01T00:00", account="b", id="0", type_="other").merge("01-02T00:00", "a", "b")
        world.ev("01-03T00:00", account=first, id="1", n=1).ev("01-03T00:00", account=second, id="1", n=1)
        assert world.told == []  # the same in all but the account
        world.restart()
        world.ev("01-04T00:00", account=first, id="2", n=1).ev("01-04T00:00", account=second, id="2", n=2)
        assert len(world.told) == 1  # cooldown
        assert world.triggers[0].evidence == ["1", "2"]
        for again in (first, second):
            world.ev("01-04T00:00", account=again, id="2", n=1 if again == first else 2)
        value = world.explain("01-04T01:00", account="b")["value"]
        assert value == 3


def test_what_came_under_another_name_first_is_known_by_its_own_as_well() -> None:
    world = Merged(rule({"threshold": {"event": "tick", "within": "30d", "at_least": 9}}))
    world.merge("01-02T00:00", "a", "b")
    for account, n in (("a", 1), ("b", 1), ("b", 2)):  # the last one is b's "1" again, whatever it says
        world.ev("01-03T00:00", account=account, id="1", n=n).restart()
    assert world.explain("01-04T00:00", account="b")["value"] == 1


def test_the_same_id_from_two_merged_accounts() -> None:
    world = Merged(rule({"threshold": {"event": "tick", "within": "30d", "at_least": 9}}))
    world.ev("01-01T00:00", account="b", id="0")
    for account in ("a", "c"):
        world.merge("01-02T00:00", account, "b")
        world.ev("01-03T00:00", account=account, id="1", of=account)
    world.ev("01-03T00:00", account="b", id="1", of="b")
    assert world.explain("01-04T00:00", account="b")["value"] == 4
    for account in ("a", "b", "c"):
        world.ev("01-03T00:00", account=account, id="1", of=account)
    assert world.explain("01-04T00:00", account="b")["value"] == 4


def test_two_triggers_of_one_id_are_two() -> None:
    each = rule({"threshold": {"event": "tick", "within": "1d", "at_least": 1}}, cooldown="0s")
    world = Merged(each)
    world.merge("01-01T00:00", "a", "b")
    world.ev("01-03T00:00", account="a", id="1", n=1).ev("01-03T00:00", account="b", id="1", n=2)
    assert len({trigger.id for trigger in world.triggers}) == 2


# -- contacts ------------------------------------------------------------------------------------------------------


def test_contacts_go_along_where_the_other_lacks_them() -> None:
    world = Merged()
    world.update(
        "01-01T00:00", "a", contacts=[{"id": "ann", "email": "ann@a"}, {"id": "bob", "email": "bob@a"}]
    )
    world.update("01-01T00:00", "b", contacts=[{"id": "ann", "name": "Ann"}])
    world.merge("01-02T00:00", "a", "b")
    assert world.contacts("a") == {}
    assert world.contacts("b") == {"ann": None, "bob": "bob@a"}
    world.ev("01-03T00:00", "contact.updated", "a", contact="ann", email="new@a")
    assert world.contacts("b")["ann"] == "new@a"
    assert world.contacts("a") == {}


def test_many_contacts_go_in_several_records() -> None:
    world = Merged()
    for n in range(30):
        contact = {"id": f"c{n}", "email": f"c{n}@a", "attributes": {"text": "x" * 40_000}}
        world.update("01-01T00:00", "a", contacts=[contact])
    world.merge("01-02T00:00", "a", "b")
    assert len([e for e in world.sent if e.type == ABSORBED]) > 3
    assert len(world.contacts("b")) == 30
    assert world.refused == []


def test_what_comes_along_turns_nothing_true_and_fires_no_date_that_is_past() -> None:
    becomes = rule({"becomes": {"is": {"contact.roles": {"contains": "admin"}}}}, "becomes", scope="contact")
    date = rule({"date": {"attribute": "contact.attributes.end", "before": "1d"}}, "date", scope="contact")
    world = Merged(becomes, date)
    ann = {"id": "ann", "roles": ["admin"], "attributes": {"end": "2026-01-10T00:00:00Z"}}
    world.update("01-01T00:00", "b", contacts=[]).update("01-01T00:00", "a", contacts=[]).update(
        "01-01T00:00", "a", contacts=[ann]
    )
    assert world.told == ["becomes a/ann 01-01T00:00"]
    world.clock("01-09T01:00")
    assert world.told[1:] == ["date a/ann 01-09T00:00"]
    world.merge("01-09T02:00", "a", "b")
    world.ev("01-09T03:00", "contact.updated", "a", contact="ann", attributes={"end": "2026-01-20T00:00:00Z"})
    world.clock("02-01T00:00")
    assert world.told[2:] == ["date b/ann 01-19T00:00"]


# -- chains and circles --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("ab", "bc"), ("bc", "ab")])
def test_a_chain(order: tuple[str, str]) -> None:
    world = Merged(rule(TWO))
    world.update("01-01T00:00", "a", contacts=[{"id": "ann", "email": "ann@a"}])
    for a, b in order:
        world.merge("01-02T00:00", a, b)
    world.ev("01-03T00:00", account="a", id="1").ev("01-03T00:00", account="b", id="2")
    assert world.told == ["r c 01-03T00:00"]
    assert world.contacts("c") == {"ann": "ann@a"}
    state = world.accounts.get("c")
    assert state is not None
    assert set(state.profile.absorbed) == {"a", "b"}
    world.merge("01-04T00:00", "c", "a")  # through others into itself
    assert world.into("c") is None
    assert len(world.refused) == 1


def test_a_circle_of_two_merges_that_crossed_ends_in_dead_letters() -> None:
    world = Merged(rule(TWO))
    world.held = []
    world.merge("01-02T00:00", "a", "b").merge("01-02T00:00", "b", "a")
    held, world.held = world.held, None
    for event in held:
        world.put(event)
    assert [world.into(name) for name in "ab"] == ["b", "a"]
    refused = len(world.refused)
    world.ev("01-03T00:00", account="a", id="1").ev("01-03T00:00", account="b", id="2")
    assert len(world.refused) == refused + 2
    world.merge("01-02T00:00", "c", "a").ev("01-03T00:00", account="c", id="3")  # into the circle
    assert max(event.mergedhops for event in world.sent) <= MAX_HOPS
    assert len(world.refused) == refused + 4
    assert world.told == []


def test_merges_that_cannot_be() -> None:
    world = Merged()
    world.update("01-01T00:00", "a", name="A")
    for into in ("a", "", "x" * 300, None, 7, "nul\0"):
        world.put(
            Event(type="account.merged", account="a", id=f"m{into}", time=from_microseconds(us("01-01T00:00")),
                  data={"into": into})
        )  # fmt: skip
    world.put(
        Event(type="account.merged", account="a", id="n", time=from_microseconds(us("01-01T00:00")), data=[1])
    )
    assert len(world.refused) == 7
    assert world.into("a") is None
    world.ev("01-01T00:00", account="e").ev("01-01T00:00", "account.deleted", "e").merge(
        "01-02T00:00", "a", "e"
    )
    assert world.refused[7:] == ["'e' was erased"]
    assert world.into("a") is None
    world.ev("01-03T00:00", account="e").merge("01-04T00:00", "a", "e")  # made anew from outside
    assert world.into("a") == "e"


def test_a_merge_sent_again_and_a_second_one() -> None:
    world = Merged()
    world.ev("01-01T00:00", account="a").merge("01-02T00:00", "a", "b", id="m").merge(
        "01-02T00:00", "a", "b", id="m"
    )
    world.merge("01-03T00:00", "a", "b", id="m2")
    assert world.refused == []
    world.merge("01-04T00:00", "a", "c", id="m3")
    assert world.refused == ["'a' was merged into 'b' already"]
    assert world.into("a") == "b"
    assert len(world.moved) == 2  # closed, taken in


def test_an_account_nobody_has_heard_of_can_be_merged() -> None:
    world = Merged(rule(TWO))
    world.merge("01-02T00:00", "a", "b").ev("01-03T00:00", account="a", id="1").ev(
        "01-03T00:00", account="b", id="2"
    )
    assert world.told == ["r b 01-03T00:00"]


# -- what else comes for a closed account --------------------------------------------------------------------------


def test_our_own_late_events_of_a_closed_account_count_for_nobody() -> None:
    sent = {"threshold": {"event": "touchline.email.sent", "within": "30d", "at_least": 1}}
    world = Merged(rule(sent))
    world.ev("01-01T00:00", account="a").merge("01-02T00:00", "a", "b")
    world.ev("01-03T00:00", "touchline.email.sent", "a", source="touchline", play="p")
    assert world.told == []
    assert sent_on(world) == []


def test_historical_and_late_events_stay_what_they_are() -> None:
    world = Merged(rule(TWO))
    world.ev("01-20T00:00", account="b", id="1").merge("01-02T00:00", "a", "b")
    world.ev("01-19T00:00", account="a", id="2", historical=True)  # counts, and fires nothing
    assert world.told == []
    assert world.explain("01-20T01:00", account="b")["value"] == 2
    world.ev("01-03T00:00", account="a", id="3")  # late for b
    assert world.explain("01-20T01:00", account="b")["value"] == 2
    world.ev("01-20T02:00", account="a", id="4")
    assert world.told == ["r b 01-20T02:00"]


def test_an_event_too_large_to_tell_where_it_came_from_is_a_dead_letter() -> None:
    world = Merged()
    world.merge("01-02T00:00", "a", "b").ev("01-03T00:00", account="a", text="x" * (520 << 10))
    assert sent_on(world) == []
    assert len(world.refused) == 1


def test_ids_of_the_closed_account_are_kept_and_forgotten_like_others() -> None:
    world = Merged(rule(TWO))
    world.merge("01-01T00:00", "a", "b")
    for n in range(400):
        at = from_microseconds(us("01-01T00:00") + n * DAY // 10)
        world.put(Event(type="tick", account="a", id=f"t{n}", time=at))
    a, b = world.accounts.get("a"), world.accounts.get("b")
    assert a is not None
    assert b is not None
    assert len(a.seen) < 250
    assert len(b.foreign) <= len(b.seen) < 250
    assert microseconds(from_microseconds(a.newest)) == b.newest
