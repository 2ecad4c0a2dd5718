"""A backfill in as many readings of the log as memory asks for; and one in which a rule fails."""

from __future__ import annotations

import random
from typing import Any

import pytest

from services.rules.engine import backfill
from services.rules.engine.backfill import ROOM, History
from services.rules.engine.kinds.absence import Absence
from services.rules.engine.state_codec import encode
from tests.unit.engine.world import World, rule

ACCOUNTS = [f"a{n}" for n in range(40)]
RULES = [
    rule({"threshold": {"event": "tick", "within": "9d", "at_least": 4}}, "t", backfill=True),
    rule({"absence": {"event": "tick", "for": "20d"}}, "gone", backfill=True, scope="contact"),
    rule(
        {"threshold": {"event": "tick", "within": "9d", "at_least": 2,
                       "where": {"account.attributes.plan": "paid"}}}, "paid", backfill=True,
    ),
]  # fmt: skip


def lived() -> World:
    """Forty accounts with late events, repeats, updates and erasures."""
    chance, world = random.Random(5), World()
    for _ in range(1_500):
        account, contact = chance.choice(ACCOUNTS), chance.choice(["ann", "bob", None])
        short = f"01-{chance.randint(1, 28):02}T{chance.randint(0, 23):02}:00"
        match chance.randint(0, 19):
            case 0:
                world.ev(short, "account.deleted", account)
            case 1:
                world.ev(short, "contact.deleted", account, contact="ann")
            case 2 | 3:
                world.update(short, account, attributes={"plan": chance.choice(["paid", "free"])})
            case 4:
                world.ev(short, "tick", account, id="again", contact=contact)
            case _:
                world.ev(short, chance.choice(["tick", "other"]), account, contact=contact, text="x" * 50)
    return world


def outcome(monkeypatch: pytest.MonkeyPatch, room: int) -> tuple[dict[str, bytes], list[str], list[int]]:
    """States, what fires after the backfill, and the bytes that each reading came to."""
    monkeypatch.setattr(backfill, "ROOM", room)
    readings: list[int] = []
    read = backfill._read

    def counted(reading: backfill._Reading, rules: Any, history: History) -> backfill._Reading:
        done = read(reading, rules, history)
        readings.append(done.bytes if len(done.pasts) > 1 else 0)
        return done

    monkeypatch.setattr(backfill, "_read", counted)
    world = lived()
    world.save("01-29T00:00", *RULES)
    states = {name: encode(state) for name, state in world.accounts.states.items()}
    for account in ACCOUNTS:
        world.ev("01-29T01:00", "tick", account, contact="ann")
    monkeypatch.undo()
    return states, world.clock("03-01T00:00").told, readings


@pytest.mark.parametrize("room", [1, 30_000, 200_000])
def test_several_readings_build_what_one_does(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    states, told, readings = outcome(monkeypatch, ROOM)
    assert len(readings) == 1
    assert len(told) > len(ACCOUNTS)
    by_parts = outcome(monkeypatch, room)
    assert by_parts[:2] == (states, told)
    assert len(by_parts[2]) > 1
    assert max(by_parts[2]) <= room


def test_a_rule_that_fails_in_a_backfill_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ArithmeticError("no")

    world = lived()
    monkeypatch.setattr(Absence, "arrive", broken)
    world.ev("01-28T23:00").ev("01-28T23:10").ev("01-28T23:20")
    with pytest.raises(AssertionError):  # of the world: something is unhealthy
        world.save("01-29T00:00", *RULES)
    assert set(world.engine.unhealthy) == {"gone"}
    monkeypatch.undo()
    world.engine.unhealthy.clear()
    assert "t acme 01-29T01:00" in world.ev("01-29T01:00").told
