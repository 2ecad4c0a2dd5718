"""Merged accounts in the tables of actions; waits of those that took others in, while something may be under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from backbone.log import EVENTS, TRIGGERS, Entry
from schemas.event import CLOCK, Event, from_microseconds
from schemas.forwarding import ERASED, Absorbed
from schemas.profile import Closing, Contact, Profile
from schemas.trigger import Moved, Position, Progress, TriggerRecord
from services.actions import tables
from tests.services.actions.kit import ACTIONS, PLAYS, TASKS, House
from tests.unit.plays.kit import DAY, SECOND, T0, account, book, event

WAITING = [{"wait": "1d"}, {"task": {"title": "Go"}}]
A, B = "a", "globex"  # partitions 0 and 1
_json = msgspec.json.Encoder().encode


def tell(house: House, place: tuple[int, int], name: str, **what: Any) -> None:
    """What rules decided about a merge at a place."""
    moved = Moved(account=name, position=Position(*place), **what)
    value = _json(TriggerRecord(moved=moved))
    house.log.append(TRIGGERS, [Entry(partition=place[0], value=value)]).result(10)


def merged(house: House, *contacts: Contact, at: int = T0 + SECOND) -> None:
    (place,) = house.post(event("account.merged", at, A, data={"into": B}))
    tell(house, place, A, closed=Closing(B))
    absorbed = Absorbed(A, {A: [one.id for one in contacts]}, list(contacts))
    (place,) = house.post(event("touchline.account.absorbed", at, B, data=msgspec.to_builtins(absorbed)))
    tell(house, place, B, absorbed=absorbed)


def passed(house: House, partition: int) -> None:
    """Rules has gone through all that this partition has."""
    end = house.log.end_offsets(EVENTS)[partition]
    value = _json(TriggerRecord(progress=Progress(partition, end, 0)))
    house.log.append(TRIGGERS, [Entry(partition=partition, value=value)]).result(10)


def profiles(house: House) -> dict[str, Profile]:
    rows = house.rows(tables.accounts)
    return {row.account: msgspec.json.decode(row.profile, type=Profile) for row in rows}


def sent_on(type_: str, at: int, **fields: Any) -> Event:
    return event(type_, at, B, mergedfrom=A, mergedhops=1, **fields)


def test_a_merge_as_the_tables_have_it(house: House) -> None:
    house.save(book(steps=[{"task": {"title": "Call"}}, *WAITING], exit_when={"event": "done"}))
    (place,) = house.post(account(name=A))
    house.fire(T0, place, account=A)
    house.settle()
    merged(house, Contact(id="cem", email="cem@a.test", unvouched=True))
    house.settle()
    house.restart()
    known = profiles(house)
    assert known[A].closed == Closing(B)
    assert known[A].contacts == {}
    assert known[B].contacts == {"cem": Contact(id="cem", email="cem@a.test", unvouched=True)}
    assert [(row.status, row.reason) for row in house.rows(PLAYS)] == [("exited", "account_merged")]
    assert [(row.status, row.reason) for row in house.rows(TASKS)] == [("closed", "account_merged")]
    house.post(
        account(T0 + DAY, A),
        sent_on("contact.updated", T0 + DAY, id="1", contact="cem", data={"name": "Cem"}),
    )
    house.settle()
    house.restart()
    house.post(
        sent_on("contact.updated", T0 + DAY, id="1", contact="cem", data={"name": "Cem"})
    )  # relayed again
    house.post(
        event("contact.updated", T0 + DAY, B, id="1", contact="cem", data={"name": "Dem"})
    )  # another of that id
    house.settle()
    known = profiles(house)
    assert known[A].contacts == {}
    assert known[B].contacts["cem"].name == "Dem"


def test_an_erasure_comes_along(house: House) -> None:
    house.save(book(steps=WAITING))
    (place,) = house.post(account(name=A))
    house.fire(T0, place, account=A)
    merged(house)
    house.settle()
    house.post(
        event("account.deleted", T0 + 2 * SECOND, B), event(ERASED, T0 + 2 * SECOND, A, data={"into": B})
    )
    house.settle()
    assert profiles(house) == {}
    assert house.rows(PLAYS) == []
    house.post(account(T0 + DAY, A))
    house.settle()
    assert profiles(house)[A].closed is None


def open_play(house: House) -> int:
    """A play of the account that goes on, which waits for a day or until an event; when it is due."""
    steps = [{"wait": {"for": "1d", "until": {"event": "done"}, "then": "exit"}}, {"task": {"title": "Go"}}]
    house.clock.set(2**50)
    house.save(book(steps=steps))
    merged(house)
    (place,) = house.post(account(name=B))
    house.settle()
    house.fire(T0, place, account=B)
    house.settle()
    (play,) = house.rows(PLAYS)
    return int(play.due_at)


def test_a_wait_goes_on_while_something_may_be_under_way(build: Callable[..., House]) -> None:
    house = build(mode="wall")
    due = open_play(house)
    house.clock.set(due + 2 * SECOND)
    house.post(event("done", T0, A))  # rules has not got to it, in the other partition
    passed(house, 1)
    house.work()
    assert not house.rows(ACTIONS)
    house.post(sent_on("done", T0))  # now it has
    passed(house, 0)
    passed(house, 1)
    house.work()
    assert [(row.status, row.reason) for row in house.rows(PLAYS)] == [("exited", "until_event")]
    assert not house.rows(ACTIONS)


def test_others_do_not_wait_and_it_falls_due_once_nothing_is_under_way(build: Callable[..., House]) -> None:
    house = build(mode="wall")
    due = open_play(house)
    (place,) = house.post(account(name="d"))  # in the same partition, and alone
    house.settle()
    house.fire(T0, place, account="d")
    house.settle()
    house.clock.set(due + 60 * SECOND)
    house.post(event("noise", T0, A))
    passed(house, 1)
    house.work()
    assert [row.account for row in house.rows(ACTIONS)] == ["d"]
    house.restart()
    house.work()
    assert [row.account for row in house.rows(ACTIONS)] == ["d"]
    passed(house, 0)
    house.settle()
    assert sorted(row.account for row in house.rows(ACTIONS)) == ["d", B]
    assert {row.due_at for row in house.rows(ACTIONS) if row.account == B} == {due}


def test_by_the_log_clock_nothing_waits_for_other_partitions(house: House) -> None:
    house.save(book(steps=WAITING))
    merged(house)
    (place,) = house.post(account(name=B))
    house.settle()
    house.fire(T0, place, account=B)
    house.settle()
    house.tick(Event(type=CLOCK, id="c", time=from_microseconds(T0 + 2 * DAY)))
    house.settle()
    assert [row.account for row in house.rows(ACTIONS)] == [B]
