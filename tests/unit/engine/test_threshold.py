"""threshold: each "fires" has its "must not fire"."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.trigger import Window
from tests.unit.engine.world import World, rule


def tick(**body: Any) -> dict[str, Any]:
    return {"threshold": {"event": "tick", **body}}


def test_the_window_is_exact_and_open_on_the_left() -> None:
    when = tick(within="1d", at_least=2)
    assert World(rule(when)).ev("01-01T09:00").ev("01-02T08:59").told == ["r acme 01-02T08:59"]
    assert World(rule(when)).ev("01-01T09:00").ev("01-02T09:00").told == []


def test_a_late_event_completes_it_at_the_later_one() -> None:
    world = World(rule(tick(within="1d", at_least=3)))
    world.ev("01-01T09:00").ev("01-01T11:00", go=1).ev("01-01T10:00", go=2)
    [trigger] = world.triggers
    assert (trigger.at, trigger.event_id) == ("2026-01-01T11:00:00Z", "e1")
    assert trigger.event is not None
    assert trigger.event.data == {"go": 1}
    assert trigger.evidence == ["e0", "e2", "e1"]
    assert trigger.position.offset == 2


def test_a_late_event_outside_seven_days_counts_nowhere() -> None:
    world = World(rule(tick(within="30d", at_least=2)))
    assert world.ev("01-20T09:00").ev("01-13T08:59").told == []
    assert world.ev("01-13T09:00").told == ["r acme 01-20T09:00"]


@pytest.mark.parametrize(
    ("aggregate", "limit", "values", "fires"),
    [
        ("sum", 0.3, [0.1, 0.2], True),
        ("sum", 0.3, [0.1, 0.199999], False),
        ("avg", 1.5, [1, 2], True),
        ("avg", 1.6, [1, 2], False),
        ("min", 2, [2, 3], True),
        ("min", 2, [1, 3], False),
        ("max", 3, [1, 3], True),
        ("max", 4, [1, 3], False),
        ("distinct", 3, [1, "1", True], True),
        ("distinct", 3, [1, 1.0, True], False),
        ("sum", 1, [True, "9", None], False),
    ],
)
@pytest.mark.parametrize("within", ["1d", None])
def test_aggregates(aggregate: str, limit: float, values: list[Any], fires: bool, within: str | None) -> None:
    body: dict[str, Any] = {"aggregate": aggregate, "of": "data.x", "at_least": limit}
    world = World(rule(tick(**body, **({"within": within} if within else {})), cooldown="0s"))
    for hour, value in enumerate(values):
        world.ev(f"01-01T0{hour}:00", x=value)
    assert any(t.event_id == f"e{len(values) - 1}" for t in world.triggers) is fires


def test_days_are_distinct_utc_days() -> None:
    world = World(rule(tick(aggregate="days", within="7d", at_least=2)))
    assert world.ev("01-01T00:00").ev("01-01T23:59").told == []
    assert world.ev("01-02T00:00").told == ["r acme 01-02T00:00"]


def test_by_and_scope_split_the_state() -> None:
    world = World(rule(tick(at_least=2), scope="contact", by="data.k"))
    world.ev("01-01T01:00", contact="ann", k="a").ev("01-01T02:00", contact="bob", k="a")
    world.ev("01-01T03:00", contact="ann", k="b").ev("01-01T04:00", k="a").ev("01-01T05:00", contact="ann")
    assert world.told == []
    assert world.ev("01-01T06:00", contact="ann", k="a").told == ["r acme/ann#a 01-01T06:00"]


def test_since_counts_from_the_last_such_event() -> None:
    world = World(rule(tick(at_least=2, since={"event": "start", "for": "1d"})))
    world.ev("01-01T01:00").ev("01-01T02:00").ev("01-01T03:00", "start").ev("01-01T04:00")
    assert world.told == []
    assert world.ev("01-02T03:00").told == ["r acme 01-02T03:00"]
    late = World(rule(tick(at_least=2, since={"event": "start", "for": "1d"})))
    late.ev("01-01T03:00", "start").ev("01-01T04:00")
    assert late.ev("01-02T03:00:01").told == []


def test_per_divides_by_an_attribute() -> None:
    world = World(rule(tick(at_least=0.5, per="account.attributes.seats")))
    assert world.ev("01-01T01:00").update("01-01T02:00", attributes={"seats": 0}).ev("01-01T03:00").told == []
    world.update("01-01T04:00", attributes={"seats": 6}).ev("01-01T05:00")
    assert world.told == ["r acme 01-01T05:00"]
    assert world.triggers[0].value == 0.5


def test_at_most_is_decided_at_the_tick_for_accounts_known_long_enough() -> None:
    world = World(rule(tick(within="2d", at_most=1)))
    world.ev("01-01T12:00").ev("01-02T12:00").ev("01-03T12:00").clock("01-04T00:00")
    assert world.told == []
    assert world.clock("01-05T00:00").told == ["r acme 01-05T00:00"]
    young = World(rule(tick(within="2d", at_most=1))).ev("01-01T12:00").clock("01-03T00:00")
    assert young.told == []
    assert world.triggers[0].event_id is None


def test_cooldowns() -> None:
    world = World(
        rule(tick(at_least=1), "each"),
        rule(tick(at_least=2), "once"),
        rule(tick(at_least=1), "d", cooldown="1d"),
    )
    world.ev("01-01T09:00").ev("01-01T10:00").ev("01-02T08:59").ev("01-02T09:00")
    fired = [trigger.rule for trigger in world.triggers]
    assert fired.count("each") == 4
    assert fired.count("once") == 1
    assert [t.at for t in world.triggers if t.rule == "d"] == ["2026-01-01T09:00:00Z", "2026-01-02T09:00:00Z"]


def test_where_and_unless_hold_back_and_start_no_cooldown() -> None:
    unless = {"threshold": {"event": "paid", "within": "1d", "at_least": 1}}
    world = World(rule(tick(at_least=1), where={"data.go": True}, unless=unless, cooldown="once"))
    world.ev("01-01T09:00", "paid").ev("01-02T08:00", go=True).ev("01-02T10:00").ev("01-02T11:00", go=1)
    assert world.told == []
    assert world.ev("01-02T12:00", go=True).told == ["r acme 01-02T12:00"]


def test_tiers_decide_when_the_event_is_evaluated() -> None:
    world = World(rule(tick(within="30d", at_least={"high": 2})))
    world.ev("01-01T09:00").ev("01-02T09:00")
    assert world.told == []
    world.update("01-03T09:00", tier="high")
    assert world.told == []
    assert world.ev("01-04T09:00").told == ["r acme 01-04T09:00"]
    assert world.triggers[0].tier == "high"


def test_historical_events_count_and_never_fire() -> None:
    world = World(rule(tick(within="1d", at_least=2), cooldown="0s"))
    world.ev("01-01T09:00").ev("01-01T11:00", historical=True).ev("01-01T10:00")
    assert world.told == ["r acme 01-01T10:00"]


def test_repeats_count_once() -> None:
    world = World(rule(tick(at_least=2)))
    assert world.ev("01-01T09:00", id="a").ev("01-01T09:00", id="a").ev("01-08T09:00", id="a").told == []
    assert world.ev("01-08T09:00", id="a", source="other").told == ["r acme 01-08T09:00"]


def test_two_rules_see_the_same_event() -> None:
    world = World(rule(tick(at_least=1), "one"), rule(tick(at_least=1), "two"))
    assert world.ev("01-01T09:00").told == ["one acme 01-01T09:00", "two acme 01-01T09:00"]


def test_shadow_records_and_paused_counts_without_firing() -> None:
    world = World(rule(tick(at_least=1), "s", status="shadow"), rule(tick(at_least=2), "p", status="paused"))
    world.ev("01-01T09:00").ev("01-01T10:00")
    assert [(t.rule, t.shadow) for t in world.triggers] == [("s", True), ("s", True)]
    world.save("01-01T10:00", rule(tick(at_least=2), "p", version=2))
    assert world.ev("01-01T11:00").told[-1] == "p acme 01-01T11:00"


def test_old_records_of_all_time_are_folded_and_stay_exact() -> None:
    world = World(
        rule(tick(at_least=3000), "count"), rule(tick(aggregate="sum", of="data.x", at_least=6000), "sum")
    )
    from schemas.event import Event, from_microseconds
    from tests.unit.engine.world import us

    start, step = us("01-01T00:00"), 1_800_000_000
    for n in range(3000):
        world.put(
            Event(
                type="tick", id=f"n{n}", time=from_microseconds(start + n * step), account="a", data={"x": 2}
            )
        )
    assert [(t.rule, t.event_id, t.value) for t in world.triggers] == [
        ("count", "n2999", 3000),
        ("sum", "n2999", 6000),
    ]
    assert all(len(series) < 3 * 2500 for series in world.accounts.states["a"].stores.values())


# -- what it was measured over --


def test_a_trigger_says_what_its_value_was_measured_over() -> None:
    span = World(rule(tick(at_least=2, within="2d")))
    since = World(rule(tick(at_least=2, within="9d", since={"event": "start"})))
    ever = World(rule(tick(at_least=2)))
    for world in (span, since, ever):
        world.ev("01-01T09:00", "start").ev("01-02T09:00").ev("01-03T09:00")
    assert span.triggers[0].window == Window("2026-01-01T09:00:00Z", "2026-01-03T09:00:00Z")
    assert since.triggers[0].window == Window("2026-01-01T09:00:00Z", "2026-01-03T09:00:00Z")
    assert ever.triggers[0].window == Window("2026-01-01T09:00:00Z", "2026-01-03T09:00:00Z")
    assert World(rule({"absence": {"event": "tick", "for": "1d"}})).ev("01-01T09:00").clock(
        "01-03T09:00"
    ).triggers[0].window is None  # fmt: skip
