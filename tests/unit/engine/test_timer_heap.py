"""The partition's agenda: one entry for an account, however often its state leaves the memory and comes back."""

from __future__ import annotations

from services.rules.engine.state_codec import decode, encode
from tests.unit.engine.world import World, rule

RENEWAL = {"date": {"attribute": "account.attributes.renewal", "before": "10d"}}
GONE = {"absence": {"event": "tick", "for": "20d"}}


def reloaded(world: World) -> World:
    """All states have left the memory, and came back from their bytes."""
    states = world.accounts.states
    states.update({name: decode(encode(state)) for name, state in states.items()})
    return world


def test_a_state_that_comes_back_is_put_down_once() -> None:
    world = World(rule(RENEWAL, "date"), rule(GONE, "gone"))
    world.update("01-01T00:00", attributes={"renewal": "2026-06-01"})
    for minute in range(40):
        reloaded(world).ev(f"01-01T01:{minute:02}")
    assert len(world.engine._heap) <= 2
    assert world.clock("07-01T00:00").told == ["gone acme 01-21T01:39", "date acme 05-22T00:00"]
    assert (world.engine._heap, world.engine._woken) == ([], {})


def test_saves_put_nobody_down_twice() -> None:
    world = World(rule(RENEWAL))
    for name in ("a", "b"):
        world.update("01-01T00:00", name, attributes={"renewal": "2026-06-01"})
    for days in range(20, 11, -1):  # each save brings the moment nearer to the date
        when = {"date": {"attribute": "account.attributes.renewal", "before": f"{days}d"}}
        world.save("01-02T00:00", rule(when, version=30 - days))
    assert len(world.engine._heap) <= 4
    assert world.clock("07-01T00:00").told == ["r a 05-20T00:00", "r b 05-20T00:00"]


def test_an_erased_account_leaves_its_place_to_the_one_that_begins_anew() -> None:
    world = World(rule(RENEWAL)).update("01-01T00:00", attributes={"renewal": "2026-06-01"})
    world.ev("01-02T00:00", "account.deleted")
    world.update("01-03T00:00", attributes={"renewal": "2026-08-01"})
    assert world.clock("06-01T00:00").told == []
    assert world.clock("09-01T00:00").told == ["r acme 07-22T00:00"]
    world = World(rule(RENEWAL)).update("01-01T00:00", attributes={"renewal": "2026-06-01"})
    world.ev("01-02T00:00", "account.deleted").clock("06-01T00:00")
    assert (world.told, world.engine._heap, world.engine._woken) == ([], [], {})
