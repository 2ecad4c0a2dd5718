"""Shared series and slack: what many rules share, what saves make of it, and that skipping never misses."""

from typing import Any

from services.rules.engine.account_state import AccountState
from services.rules.engine.fastpath.shared_series import bits, newest_of_each, put
from services.rules.engine.state_codec import decode, encode
from tests.unit.engine.world import World, rule


def tick(**body: Any) -> dict[str, Any]:
    return {"threshold": {"event": "tick", "within": "1d", **body}}


def counted(state: AccountState) -> tuple[int, int]:
    """How many pairs of this account and a rule have events, and how many events they have."""
    pairs, events = len(state.stores), sum(len(series) // 2 for series in state.stores.values())
    for key, rows in state.shared.items():
        group = state.layout.groups[key]
        pairs += len(group.names(rows))
        events += sum(mask.bit_count() for mask in rows[2 :: group.width])
    return pairs, events


def test_rules_of_one_type_share_one_row_an_event() -> None:
    world = World(rule(tick(at_least=5), "five"), rule(tick(at_least=9, where={"data.x": 1}), "nine"))
    world.ev("01-01T09:00", x=1).ev("01-01T10:00", x=2)
    state = world.accounts.states["acme"]
    [rows] = state.shared.values()
    assert (len(rows), rows[2::3]) == (6, [3, 1])
    assert state.stores == {}
    assert counted(state) == (2, 3)


def test_more_rules_than_a_mask_holds_make_another_group() -> None:
    world = World(*(rule(tick(at_least=2), f"r{n:03}") for n in range(70)))
    world.ev("01-01T09:00")
    assert len(world.accounts.states["acme"].shared) == 2
    world.ev("01-01T10:00")
    assert [trigger.rule for trigger in world.triggers] == [f"r{n:03}" for n in range(70)]


def test_the_slack_is_used_up_at_the_very_event() -> None:
    world = World(rule(tick(at_least=70), "r"))
    for n in range(69):
        world.ev(f"01-01T{n // 60:02}:{n % 60:02}")
    assert world.told == []
    assert world.ev("01-01T02:00").told == ["r acme 01-01T02:00"]


def test_what_came_late_counts_against_the_slack() -> None:
    world = World(rule(tick(at_least=4), "r"))
    world.ev("01-01T09:00").ev("01-01T12:00").ev("01-01T10:00")
    assert world.told == []
    assert world.ev("01-01T13:00").told == ["r acme 01-01T13:00"]


def test_an_event_that_comes_late_completes_the_first_of_one_time() -> None:
    for body in ({}, {"aggregate": "sum", "of": "data.x"}, {"aggregate": "distinct", "of": "data.y"}):
        world = World(rule(tick(at_least=4, **body), "r"))
        for n, hour in enumerate((6, 12, 12, 6)):
            world.ev(f"01-01T{hour:02}:00", x=1, y=n)
        assert [trigger.event_id for trigger in world.triggers] == ["e1"]


def test_a_sum_may_rise_by_what_is_forgotten() -> None:
    world = World(rule(tick(at_least=10, aggregate="sum", of="data.x"), "r"))
    world.ev("01-01T09:00", x=-50).ev("01-01T10:00", x=9).ev("01-02T09:30", x=0)
    assert world.told == []
    assert world.ev("01-02T09:45", x=1).told == ["r acme 01-02T09:45"]


def test_a_rule_that_gets_an_unless_takes_its_events_along_and_back() -> None:
    plain = rule(tick(at_least=3), "r")
    held = rule(tick(at_least=3), "r", version=2, unless={"threshold": {"event": "stop", "at_least": 1}})
    world = World(plain, rule(tick(at_least=9), "other"))
    world.ev("01-01T09:00").save("01-01T09:30", held, rule(tick(at_least=9), "other"))
    world.restart().ev("01-01T10:00")
    state = world.accounts.states["acme"]
    assert [len(series) for series in state.stores.values()] == [4]
    world.save("01-01T10:30", rule(tick(at_least=3), "r", version=3), rule(tick(at_least=9), "other"))
    assert world.ev("01-01T11:00").told == ["r acme 01-01T11:00"]
    assert state.stores == {}
    assert counted(state) == (2, 6)


def test_stored_series_need_not_be_fitted_to_be_stored_again() -> None:
    world = World(rule(tick(at_least=5, aggregate="sum", of="data.x"), "r"), rule(tick(at_least=9), "s"))
    world.ev("01-01T09:00", x=1).ev("01-01T10:00", x="none")
    blob = encode(world.accounts.states["acme"])
    assert encode(decode(blob)) == blob


def test_rows_of_one_time_stand_in_order_of_arrival() -> None:
    rows: list[int] = []
    for row in ((5, 2, 1), (5, 9, 1), (3, 4, 1), (5, 7, 1)):
        put(rows, 3, row)
    assert rows[1::3] == [4, 2, 7, 9]


def test_the_newest_of_each_rule_are_kept() -> None:
    rows = [number for n in range(100) for number in (n, n, 1 if n % 2 else 2 if n < 10 else 0)]
    kept = newest_of_each(rows, 3, 20, 99)
    assert set(range(61, 100, 2)) | {0, 2, 4, 6, 8} <= set(kept)
    assert 1 not in kept


def test_bits() -> None:
    assert bits(0b1011) == [0, 1, 3]
