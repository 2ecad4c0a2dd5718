"""Saves, backfill, erasure, explanations, stored states: what is not one kind's own."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.event import from_microseconds
from services.rules.engine.account_state import AccountState, SubjectKey
from services.rules.engine.kinds.threshold import Threshold
from services.rules.engine.ruleset import next_generations
from services.rules.engine.state_codec import decode, encode
from tests.unit.engine.world import World, rule, us


def tick(**body: Any) -> dict[str, Any]:
    return {"threshold": {"event": "tick", **body}}


GONE = {"absence": {"event": "tick", "for": "3d"}}
POLICY = {"tiers": [{"tier": "high", "where": {"account.attributes.arr": {"gte": 100}}}, {"tier": "tech"}]}


# -- saves --


def test_state_survives_a_save_that_moves_the_threshold() -> None:
    world = World(rule(tick(within="7d", at_least=9))).ev("01-01T09:00").ev("01-02T09:00")
    world.save("01-02T09:00", rule(tick(within="7d", at_least=3), version=2)).ev("01-03T09:00")
    assert world.told == ["r acme 01-03T09:00"]
    assert world.triggers[0].rule_version == 2


def test_another_generation_starts_anew() -> None:
    world = World(rule(tick(within="7d", at_least=2))).ev("01-01T09:00")
    world.save("01-01T09:00", rule(tick(within="7d", at_least=2), version=2, generation=1)).ev("01-02T09:00")
    assert world.told == []
    assert world.ev("01-03T09:00").told == ["r acme 01-03T09:00"]


def test_generations_rise_where_the_contract_says_so() -> None:
    base = rule(tick(within="7d", at_least=2)).doc
    assert next_generations(base, rule(tick(within="7d", at_least=5)).doc, 4, 7) == (4, 7)
    assert next_generations(base, rule(tick(within="1d", at_least=2)).doc, 4, 7) == (4, 7)
    assert next_generations(base, rule(tick(within="30d", at_least=2)).doc, 4, 7) == (5, 7)
    assert next_generations(base, rule(tick(at_least=2)).doc, 4, 7) == (5, 7)
    assert next_generations(base, rule(tick(within="7d", at_least=2), by="data.k").doc, 4, 7) == (5, 7)
    assert next_generations(base, rule(tick(within="7d", at_least=2), scope="contact").doc, 4, 7) == (5, 8)
    where = rule(tick(within="7d", at_least=2, where={"data.x": 1})).doc
    assert next_generations(base, where, 4, 7) == (5, 7)
    assert next_generations(base, rule(GONE).doc, 4, 7) == (5, 7)
    held = rule(tick(within="7d", at_least=2), unless=tick(at_least=1)).doc
    assert next_generations(base, held, 4, 7) == (4, 8)


def test_tiers_saved_reckon_deadlines_anew() -> None:
    when = {"absence": {"event": "tick", "for": {"high": "1d", "tech": "9d"}}}
    world = (
        World(rule(when))
        .update("01-01T00:00", attributes={"arr": 200})
        .ev("01-01T09:00")
        .clock("01-03T09:00")
    )
    assert world.told == []
    world.save("01-03T09:00", rule(when), tiers=POLICY)
    assert world.told == ["r acme 01-02T09:00"]


def test_a_paused_absence_is_spent() -> None:
    world = World(rule(GONE, status="paused")).ev("01-01T09:00").clock("01-05T09:00")
    world.save("01-05T09:00", rule(GONE, version=2)).clock("01-20T09:00")
    assert world.told == []


def test_a_broken_rule_does_not_stop_its_neighbours(monkeypatch: Any) -> None:
    world = World(rule(tick(at_least=1), "bad"), rule(tick(at_least=1), "good"))

    def broken(*args: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(world.engine.rules.by_name["bad"].members[0], "arrive", broken)
    event = World().ev("01-01T09:00").log[0]
    world.engine.apply([(0, 0, event)])
    assert [trigger.rule for trigger in world.engine.drain()] == ["good"]
    assert world.engine.unhealthy == {"bad": "RuntimeError: boom"}
    monkeypatch.undo()
    world.save("01-01T10:00", rule(tick(at_least=1), "bad", version=2), rule(tick(at_least=1), "good"))
    assert world.engine.unhealthy == {}  # what was wrong with the old version is past


@pytest.mark.parametrize(
    ("error", "rules_fault"), [(ConnectionError("away"), False), (LookupError("deleted"), True)]
)
def test_an_event_that_the_log_does_not_give(monkeypatch: Any, error: Exception, rules_fault: bool) -> None:
    """Away: nothing of the batch may count, or a trigger would be missing. Deleted: that one cannot be judged."""
    world = World(rule(tick(within="7d", at_least=2), "r")).ev("01-02T09:00")

    def unread(offset: int) -> Any:
        raise error

    monkeypatch.setattr(world.engine, "_fetch", unread)
    late = World().ev("01-01T09:00", id="late").log[0]  # completes the check at the event before
    if rules_fault:
        world.engine.apply([(1, us("01-01T09:00"), late)])
        assert world.engine.unhealthy == {"r": "LookupError: deleted"}
    else:
        with pytest.raises(ConnectionError):
            world.engine.apply([(1, us("01-01T09:00"), late)])


# -- backfill --


def test_backfill_builds_the_state_and_fires_nothing_for_what_is_past() -> None:
    rules = [rule(tick(within="7d", at_least=3), "t", backfill=True), rule(GONE, "gone", backfill=True)]
    past = World().ev("01-02T09:00").ev("01-01T09:00").ev("01-02T09:00", id="e0")
    past.ev("01-06T09:00", "other")
    past.save("01-06T09:00", *rules)
    assert past.told == []
    assert past.clock("01-07T09:00").told == []
    assert past.ev("01-08T08:00").told == ["t acme 01-08T08:00"]
    assert past.triggers[0].evidence == ["e1", "e0", "e6"]


def test_without_backfill_counting_begins_at_the_save() -> None:
    world = (
        World().ev("01-01T09:00").ev("01-02T09:00").save("01-02T09:00", rule(tick(within="7d", at_least=3)))
    )
    assert world.ev("01-03T09:00").told == []


def test_backfill_sees_the_account_as_it_was() -> None:
    world = World().update("01-01T00:00", attributes={"plan": "free"}).ev("01-01T01:00")
    world.update("01-01T02:00", attributes={"plan": "paid"}).ev("01-01T03:00")
    when = tick(within="7d", at_least=2, where={"account.attributes.plan": "paid"})
    world.save("01-01T04:00", rule(when, backfill=True))
    assert world.ev("01-01T05:00").told == ["r acme 01-01T05:00"]


# -- erasure --


def test_an_erased_account_begins_anew() -> None:
    world = World(rule(tick(at_least=2))).ev("01-01T09:00").ev("01-01T10:00", "account.deleted")
    assert world.accounts.get("acme") is None
    assert world.ev("01-01T11:00").told == []


def test_an_erased_contact_leaves_nothing_behind() -> None:
    world = World(rule(GONE, "acc"), rule(GONE, "con", scope="contact"))
    world.update("01-01T00:00", contacts=[{"id": "ann", "email": "ann@acme.test"}])
    world.ev("01-01T09:00", contact="ann", secret="s3cret")
    world.ev("01-01T10:00", "contact.deleted", contact="ann")
    blob = encode(world.accounts.states["acme"])
    assert b"s3cret" not in blob
    assert b"ann@acme.test" not in blob
    assert world.clock("01-09T00:00").told == ["acc acme 01-04T09:00"]


@pytest.mark.parametrize("by", ["contact", "contact.id"])
def test_what_is_counted_by_person_goes_with_the_person(by: str) -> None:
    """And nothing else that happens to have the same name."""
    person, thing = rule(tick(at_least=3), "person", by=by), rule(tick(at_least=2), "thing", by="data.of")
    world = World(person, thing, rule(GONE, "gone", by=by))
    world.update("01-01T00:00", contacts=[{"id": "annabella"}, {"id": "bob"}])
    for who in ("annabella", "bob"):
        world.ev("01-01T09:00", contact=who, of="annabella" if who == "bob" else "x")
    world.ev("01-01T10:00", "contact.deleted", contact="annabella")
    assert (
        encode(world.accounts.states["acme"]).count(b"annabella") == 2
    )  # the thing, and where bob speaks of it
    world.ev("01-01T11:00", contact="bob", of="annabella").ev("01-01T12:00", contact="bob", of="y")
    assert world.told == ["thing acme/bob#annabella 01-01T11:00", "person acme/bob#bob 01-01T12:00"]


# -- explain --


def test_explain_a_threshold() -> None:
    world = World(rule(tick(within="7d", at_least=2))).ev("01-01T09:00")
    told = world.explain("01-02T09:00")
    assert (told["fires"], told["reason"], told["value"], told["threshold"]) == (
        False,
        "below_threshold",
        1,
        2,
    )
    assert told["window"] == {"from": "2025-12-26T09:00:00Z", "to": "2026-01-02T09:00:00Z"}
    assert told["evidence"] == ["e0"]
    world.ev("01-02T09:00")
    told = world.explain("01-02T10:00")
    assert (told["reason"], told["cooldown_until"]) == ("cooldown", "2026-01-09T09:00:00Z")
    assert told["last_trigger"] == "2026-01-02T09:00:00Z"


def test_explain_moments_and_subjects() -> None:
    world = World(
        rule(GONE), rule(tick(within="2d", at_most=1), "few"), rule(GONE, "c", scope="contact", by="data.k")
    )
    world.ev("01-01T09:00")
    assert world.explain("01-02T09:00")["reason"] == "deadline_ahead"
    assert world.explain("01-02T09:00")["next_check"] == "2026-01-04T09:00:00Z"
    assert world.explain("01-01T10:00", "few")["reason"] == "not_known_long_enough"
    assert world.explain("01-05T10:00", "few")["fires"] is True
    assert world.explain("01-05T10:00", "c")["reason"] == "no_contact"
    assert world.explain("01-05T10:00", "c", contact="ann")["reason"] == "no_key"
    assert world.explain("01-05T10:00", "c", contact="ann", key="k")["reason"] == "not_armed"
    assert world.explain("01-05T10:00", account="nobody")["reason"] == "unknown_account"
    assert world.explain("01-05T10:00", "nothing")["reason"] == "rule_draft"


# -- states and ids --


def stored(state: AccountState) -> dict[str, dict[SubjectKey, Any]]:
    """What the kinds keep, without what is derived."""
    found = {kind: {key: one.stored() for key, one in kept.items()} for kind, kept in state.kept.items()}
    return {kind: kept for kind, kept in found.items() if kept}


def test_a_state_survives_its_bytes() -> None:
    world = World(
        rule(tick(at_least=9, aggregate="distinct", of="data.x"), by="data.k"),
        rule(GONE, "gone"),
        rule({"all_of": {"of": [tick(at_least=1), GONE], "within": "9d"}}, "all"),
    )
    ids = ["6f9619ff-8b86-d011-b42d-00cf4fc964ff", "6F9619FF-8b86-d011-b42d-00cf4fc964ff", "plain"]
    for hour, id_ in enumerate([*ids, "00000000-0000-0000-0000-000000000000"]):
        world.ev(f"01-01T0{hour}:00", id=id_, x=hour, k="é", source="other" if hour == 1 else "api")
    state = world.accounts.states["acme"]
    again = decode(encode(state))
    derived = {"agenda", "noted", "tick_at", "wake", "slack", "packed", "packed_count", "revision", "tier"}
    derived |= {"layout", "listed"}
    for name in set(AccountState.__slots__) - derived - {"kept"}:
        assert getattr(again, name) == getattr(state, name), name
    assert stored(again) == stored(state)
    assert stored(state).keys() == {"absence", "all_of"}
    assert encode(again) == encode(state)


def test_trigger_ids_do_not_depend_on_how_the_log_is_read() -> None:
    one, two = World(rule(tick(at_least=1))), World(rule(tick(at_least=1)))
    one.ev("01-01T09:00").ev("01-01T10:00")
    two.ev("01-01T09:00").restart().ev("01-01T10:00")
    assert [t.id for t in one.triggers] == [t.id for t in two.triggers]
    assert len({t.id for t in one.triggers}) == 2
    assert all(t.id.startswith("trg_") and len(t.id) == 30 for t in one.triggers)


def test_memory_is_bounded_by_the_window() -> None:
    world = World(rule(tick(within="1d", at_least=10**6)))
    from schemas.event import Event

    for n in range(4000):
        time = from_microseconds(us("01-01T00:00") + n * 3_600_000_000)
        world.put(Event(type="tick", id=f"n{n}", time=time, account="a"))
    state = world.accounts.states["a"]
    assert len(state.seen) < 2 * 7 * 24 + 200
    [series] = state.shared.values()
    assert len(series) < 2 * (2 * 8 * 24 + 200)


def test_plain_thresholds_share_series() -> None:
    from services.rules.engine.fastpath.rule_group import shareable

    world = World(rule(tick(within="1d", at_least=2)), rule(tick(at_least=2), "all"))
    assert isinstance(shareable(world.engine.rules.rules[0]), Threshold)
    assert shareable(world.engine.rules.rules[1]) is None
