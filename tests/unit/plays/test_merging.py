"""Accounts that are merged: plays that exit, contacts that go along, and what changes nothing any more."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from schemas.event import Event
from schemas.forwarding import ERASED, Absorbed
from schemas.profile import Closing, Contact
from schemas.trigger import Moved, Position
from services.actions.plays.merge import TriggerItem
from tests.unit.plays.kit import DAY, T0, World, account, book, event

WAITING = [{"task": {"title": "Call"}}, {"wait": "3d"}, {"email": {"template": "hello"}}]


def moved(world: World, name: str, **what: Any) -> None:
    """What rules decided at the last event."""
    place = Position(0, world.events - 1)
    item = TriggerItem(world._place(), Moved(account=name, position=place, **what))
    world.partition.merge.offer_trigger(item)
    world.run()


def closed(world: World, name: str = "acme", into: str = "globex", at: int = T0 + 2, **more: Any) -> None:
    world.say(event("account.merged", at, name, data={"into": into}))
    moved(world, name, closed=Closing(into, **more))


def taken_in(
    world: World, name: str = "acme", into: str = "globex", contacts: Any = (), at: int = T0 + 3
) -> None:
    absorbed = Absorbed(name, {name: [one.id for one in contacts]}, list(contacts))
    world.say(event("touchline.account.absorbed", at, into, data=msgspec.to_builtins(absorbed)))
    moved(world, into, absorbed=absorbed)


def sent_on(type_: str, at: int, was: str = "acme", now: str = "globex", **fields: Any) -> Event:
    return event(type_, at, now, mergedfrom=was, mergedhops=1, **fields)


def test_open_plays_exit_and_open_tasks_of_finished_ones_are_closed() -> None:
    world = World(book(steps=WAITING), book("short"))
    world.say(account(), account(name="other"))
    play, other = world.fire(T0), world.fire(T0, account="other")
    short = world.fire(T0, playbook="short")
    closed(world)
    assert play is not None
    assert other is not None
    assert short is not None
    assert (play.status, play.reason, play.wait) == ("exited", "account_merged", None)
    assert (short.status, short.reason) == ("finished", "completed")
    assert other.status == "open"
    tasks = {task.play: (task.status, task.reason) for task in world.store.tasks.values()}
    assert tasks == {
        play.id: ("closed", "account_merged"),
        short.id: ("closed", "account_merged"),
        other.id: ("open", None),
    }
    assert world.told().count("play.exited") == 1
    world.clock(T0 + 10 * DAY)
    assert {a.account for a in world.store.actions.values() if a.channel == "email"} == {"other"}


def test_a_trigger_decided_before_the_merge_starts_a_play_that_the_merge_ends() -> None:
    world = World(book(steps=WAITING))
    world.say(account())
    play = world.fire(T0)
    assert play is not None
    assert play.status == "open"
    closed(world)
    assert play.status == "exited"
    closed(world)  # relayed again
    assert world.told().count("play.exited") == 1


def test_events_of_a_closed_account_change_nothing_there() -> None:
    world = World(book(steps=WAITING, exit_when={"event": "done"}))
    world.say(account(), account(name="globex"))
    closed(world)
    taken_in(world, contacts=[Contact(id="cem", email="cem@acme.test")])
    before = copy.deepcopy(world.store.profiles)
    world.say(
        account(T0 + DAY), event("contact.updated", T0 + DAY, contact="dan", data={"email": "dan@acme.test"}),
        event("contact.deleted", T0 + DAY, contact="ann"),
    )  # fmt: skip
    assert world.store.profiles == before
    assert before["acme"].contacts == {}
    assert before["globex"].contacts.keys() == {"ann", "bob", "cem"}


def test_what_was_sent_on_counts_for_the_account_that_goes_on() -> None:
    world = World(book(steps=WAITING, exit_when={"event": "done"}))
    world.say(account(), account(name="globex"))
    closed(world)
    play = world.fire(T0 + 2, account="globex")
    assert play is not None
    world.say(sent_on("done", T0 + 3, id="x"))
    assert play.status == "open"  # it has not taken that account in: it may have been erased meanwhile
    taken_in(world)
    world.say(sent_on("contact.updated", T0 + DAY, contact="dan", data={"email": "dan@acme.test"}))
    assert world.store.profiles["globex"].contacts["dan"].email == "dan@acme.test"
    world.say(sent_on("done", T0 + DAY, id="x"))
    assert play.reason == "exit_event"


def test_two_events_of_one_id_both_count_and_the_same_event_once() -> None:
    def update(make: Any, name: str, place: int) -> Event:
        one: Event = make("account.updated", T0 + DAY, id="1", data={"name": name})
        return msgspec.structs.replace(one, subject=str(place))

    def own(type_: str, at: int, **fields: Any) -> Event:
        return event(type_, at, "globex", **fields)

    for first, second in ((own, sent_on), (sent_on, own)):
        world = World(book())
        world.say(account(name="globex"))
        closed(world)
        taken_in(world)
        world.say(update(first, "one", 1), update(second, "two", 2))
        assert world.store.profiles["globex"].name == "two"
        world.say(own("account.updated", T0 + DAY, id="2", data={"name": "three"}))
        world.say(update(first, "one", 1), update(second, "two", 2), update(second, "one", 3))
        assert world.store.profiles["globex"].name == "three"


def test_an_id_seen_by_an_earlier_release_is_the_same_event_if_its_time_is() -> None:
    world = World(book())
    world.say(account(name="globex"))
    closed(world)
    taken_in(world)
    world.say(event("account.updated", T0 + DAY, "globex", id="1", data={"name": "one"}))
    seen = world.store._seen
    for name, one in seen.items():
        seen[name] = msgspec.structs.replace(one, said=None)
    world.say(sent_on("account.updated", T0 + DAY, id="1", data={"name": "two"}))
    assert world.store.profiles["globex"].name == "one"
    world.say(sent_on("account.updated", T0 + 2 * DAY, id="1", data={"name": "two"}))
    assert world.store.profiles["globex"].name == "two"


def test_an_account_opened_anew_takes_the_event_that_opened_it() -> None:
    world = World(book())
    world.say(account())
    closed(world, unvouched=True)
    world.partition.merge.offer_events([])
    opened = Moved(account="acme", position=Position(0, world.events - 1))
    world.partition.merge.offer_trigger(TriggerItem(world._place(), opened))
    world.say(event("account.updated", T0 + DAY, data={"name": "Back"}))
    assert world.store.profiles["acme"].closed is None
    assert world.store.profiles["acme"].name == "Back"


def test_erasures() -> None:
    world = World(book(steps=WAITING))
    world.say(account(), account(name="globex"))
    world.fire(T0)
    closed(world)
    taken_in(world, contacts=[Contact(id="cem")])
    world.say(
        event(ERASED, T0 + 4, data={"into": "elsewhere"}), event(ERASED, T0 + 4, id="y", data={"no": 1})
    )
    assert "acme" in world.store.profiles
    assert world.store.plays
    world.say(event(ERASED, T0 + 5, id="z", data={"into": "globex"}))
    assert world.store.profiles.keys() == {"globex"}
    assert not world.store.plays
    assert not world.store.tasks
    world.say(event(ERASED, T0 + 6, "globex", data={"into": "globex"}))
    assert world.store.profiles.keys() == {"globex"}


def test_a_person_erased_at_the_account_that_goes_on() -> None:
    world = World(book())
    world.say(account(), account(name="u1"))
    mine, theirs = world.fire(T0, contact="ann"), world.fire(T0, contact="bob", key="k")
    world.fire(T0, account="u1")
    closed(world)
    closed(world, "u1", contact="ulla")
    world.say(event(ERASED, T0 + 5, data={"into": "globex", "contact": "ann"}))
    assert mine is not None
    assert theirs is not None
    assert mine.id not in world.store.plays
    assert theirs.id in world.store.plays
    world.say(event(ERASED, T0 + 5, "u1", data={"into": "globex", "contact": "ulla"}))
    assert "u1" not in world.store.profiles  # a lone account is that person
    assert "u1" not in {play.account for play in world.store.plays.values()}


def test_erasing_the_closed_account_itself() -> None:
    world = World(book())
    world.say(account(), account(name="globex"))
    closed(world)
    taken_in(world, contacts=[Contact(id="cem")])
    world.say(event("account.deleted", T0 + 5))
    assert world.store.profiles.keys() == {"globex"}
    assert "cem" in world.store.profiles["globex"].contacts
