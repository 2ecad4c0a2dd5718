"""Erasure in the engine: what Touchline still tells of the erased makes nothing anew, what comes from outside does."""

from __future__ import annotations

from typing import Any

from schemas.event import Event, from_microseconds
from services.rules.engine.state_codec import decode, encode
from tests.unit.engine.world import World, rule, us

SENT = "touchline.email.sent"
EACH: dict[str, Any] = {"threshold": {"event": [SENT, "login"], "at_least": 1}}
QUIET: dict[str, Any] = {"threshold": {"event": "login", "within": "2d", "below": 1}}


def own(world: World, short: str, contact: str | None = None, type_: str = SENT) -> World:
    event = Event(
        id=f"o{len(world.log)}", source="touchline", type=type_, account="acme", contact=contact,
        time=from_microseconds(us(short)), data={"depth": 1},
    )  # fmt: skip
    return world.put(event)


def gone(world: World, short: str, contact: str | None = None) -> World:
    return world.ev(short, "account.deleted" if contact is None else "contact.deleted", contact=contact)


def test_own_events_make_an_erased_account_no_anew() -> None:
    world = World(rule(EACH, cooldown="0s"), rule(QUIET, "quiet")).ev("01-01T00:00", "login")
    gone(world, "01-02T00:00")
    for type_ in (
        SENT,
        "touchline.play.finished",
        "touchline.task.completed",
        "touchline.email.unsubscribed",
    ):
        own(world, "01-02T00:01", type_=type_)
    assert world.accounts.states == {}
    assert world.engine.reasons["", "erased"] == 4
    assert world.clock("01-20T00:00").told == ["r acme 01-01T00:00"]


def test_an_event_from_outside_makes_a_new_one_that_knows_nothing() -> None:
    world = World(rule(EACH, cooldown="once")).update("01-01T00:00", name="Acme").ev("01-01T01:00", "login")
    gone(world, "01-02T00:00").ev("01-02T01:00", "login")
    assert world.told == ["r acme 01-01T01:00", "r acme 01-02T01:00"]
    assert world.accounts.states["acme"].profile.name is None
    assert own(world, "01-02T02:00").accounts.states["acme"].newest == us("01-02T01:00")


def test_the_erasure_of_a_contact_makes_no_account() -> None:
    assert gone(World(rule(EACH)), "01-02T00:00", "ann").accounts.states == {}


def test_own_events_bring_no_erased_contact_back() -> None:
    world = World(rule(EACH, cooldown="0s", scope="contact"))
    world.update("01-01T00:00", contacts=[{"id": "ann"}, {"id": "bob"}])
    own(world, "01-01T01:00", "cy")  # known to nobody, erased by nobody
    gone(world, "01-02T00:00", "ann").restart()
    own(own(world, "01-02T01:00", "ann"), "01-02T02:00", "bob")
    assert world.told == ["r acme/cy 01-01T01:00", "r acme/bob 01-02T02:00"]
    assert b"ann" not in encode(world.accounts.states["acme"])
    assert world.ev("01-02T03:00", "contact.updated", contact="ann").ev("01-02T04:00", "login", contact="ann")
    assert own(world, "01-02T05:00", "ann").told[2:] == ["r acme/ann 01-02T04:00", "r acme/ann 01-02T05:00"]


def test_states_from_before_are_read() -> None:
    world = World(rule(EACH)).ev("01-01T00:00", "login")
    import msgspec

    fields = msgspec.msgpack.decode(encode(world.accounts.states["acme"]))
    old = decode(msgspec.msgpack.encode(fields[:20]))
    assert (old.deep, old.erased, old.newest) == (None, False, us("01-01T00:00"))


def test_a_backfill_does_not_count_them_either() -> None:
    counted = {"threshold": {"event": SENT, "at_least": 2}}
    for erased, expected in (("ann", []), ("bob", ["fresh acme/ann 01-05T00:00"])):
        world = World().update("01-01T00:00", contacts=[{"id": "ann"}, {"id": "bob"}])
        gone(world, "01-02T00:00", erased)
        own(world, "01-02T01:00", "ann")
        world.update("01-03T00:00", contacts=[{"id": "ann"}])
        world.save("01-04T00:00", rule(counted, "fresh", scope="contact", backfill=True))
        assert own(world, "01-05T00:00", "ann").told == expected

    account = {"threshold": {"event": [SENT, "login"], "at_least": 2}}
    world = gone(World().ev("01-01T00:00", "login"), "01-02T00:00")
    own(world, "01-02T01:00").ev("01-03T00:00", "login")
    world.save("01-04T00:00", rule(account, "fresh", backfill=True))
    assert world.told == []
    assert world.ev("01-05T00:00", "login").told == ["fresh acme 01-05T00:00"]
