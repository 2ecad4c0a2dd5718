"""The engine with its fast path against the engine without: the same triggers in the same order, the same states.

Whatever the batches and restarts, over disorder, repeats, late and historical events, changes of tier, saves, merges
and erasures. `stored_states` has what must be the same of two states.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from schemas.trigger import Trigger
from tests.oracle import rule_strategies as rules
from tests.oracle.history import History
from tests.oracle.rule_strategies import Draw
from tests.oracle.strategies import LONG, histories, merged
from tests.unit.engine_differential.comparing import story
from tests.unit.engine_differential.engine_runner import Cut, Outcome, read_history
from tests.unit.engine_differential.stored_states import said
from tests.unit.engine_differential.test_differential import _sweeps_often, differential

__all__ = ["_sweeps_often"]
JSON = dict[str, Any]


def same_both_ways(history: History, cut: Cut) -> None:
    """Fast and plain give the same, read in one go and as `cut` says."""
    plain = read_history(history, fastpath=False)
    for how in (Cut(), cut):
        wrong = _differences(plain, read_history(history, how))
        assert not wrong, "\n".join([f"read as {how}", *wrong, story(history)])


def _differences(plain: Outcome, fast: Outcome) -> list[str]:
    """What the fast path makes otherwise, in words."""
    wanted, got = [_told(one) for one in plain.triggers], [_told(one) for one in fast.triggers]
    wrong = [f"the fast path misses {one}" for one in wanted if one not in got]
    wrong += [f"the fast path fires too much: {one}" for one in got if one not in wanted]
    if not wrong and wanted != got:
        wrong.append(f"another order: {got}\n       plain: {wanted}")
    if not wrong and fast.triggers != plain.triggers:
        pairs = zip(fast.triggers, plain.triggers, strict=True)
        wrong += [f"fast {one}\n  plain {other}" for one, other in pairs if one != other]
    if fast.stored.keys() != plain.stored.keys():
        wrong.append(f"accounts {sorted(fast.stored)}, plain {sorted(plain.stored)}")
    for name in fast.stored.keys() & plain.stored.keys():
        mine, theirs = (said(one.stored[name], plain.rules) for one in (fast, plain))
        parts = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
        wrong += [f"{name}: {k} is {mine.get(k)}, plain {theirs.get(k)}" for k in parts]
    return wrong


def _told(trigger: Trigger) -> str:
    return (
        f"{trigger.rule} for {trigger.account} at {trigger.at} by {trigger.event_id} (value {trigger.value})"
    )


@st.composite
def shareable(draw: Draw) -> JSON:
    """A threshold of the form that shares series."""
    body: JSON = {"event": draw(st.sampled_from(("tick", "tick", "tick", ["tick", "boom"], "*")))}
    if draw(st.booleans()):
        body["where"] = draw(rules.WHERES)
    aggregate = draw(st.sampled_from(("count", "count", "sum", "distinct")))
    if aggregate != "count":
        body |= {"aggregate": aggregate, "of": "data.x" if aggregate == "sum" else "data.k"}
    body["within"] = draw(rules.SPANS)
    limits = rules.tiered(st.sampled_from((1, 1.5, 3, 0.3, 5))) if aggregate == "sum" else rules.tiered(
        st.sampled_from((1, 2, 2, 3, 4, 6))
    )  # fmt: skip
    body[draw(st.sampled_from(("at_least", "above")))] = draw(limits)
    return {"threshold": body}


def sharing() -> st.SearchStrategy[list[JSON]]:
    """Rules that share series, one among them that does not."""
    some = [rules.rule(shareable(), split=False, name=f"s{n}", held=12) for n in range(4)]
    other = rules.rule(st.one_of(rules.rising(), rules.absence()), split=True, name="s1b")
    return st.tuples(*some, other).map(lambda these: sorted(these, key=lambda one: str(one["name"])))


@st.composite
def erased(draw: Draw, plain: st.SearchStrategy[History]) -> History:
    """A history in which an account or a contact is erased, once or twice, somewhere in it."""
    history = draw(plain)
    events = list(history.events)
    for number in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(events) - 1))
        offset, receipt, before = events[place]
        erasure = {"id": f"erase-{number}", "source": "test", "time": before["time"]}
        if draw(st.booleans()):
            erasure |= {"type": "account.deleted", "account": draw(st.sampled_from(("a", "b")))}
        else:
            erasure |= {
                "type": "contact.deleted",
                "account": "a",
                "contact": draw(st.sampled_from(("ann", "bob"))),
            }
        events.insert(place + 1, (offset, receipt, erasure))
    numbered = tuple((place, receipt, event) for place, (_, receipt, event) in enumerate(events))
    return replace(history, events=numbered)


@differential(40, histories(sharing()))
def test_rules_that_share_series(history: History, cut: Cut) -> None:
    same_both_ways(history, cut)


@differential(10, histories(sharing(), sizes=LONG))
def test_many_events(history: History, cut: Cut) -> None:
    same_both_ways(history, cut)


@differential(30, histories(sharing(), change=rules.changed))
def test_saves(history: History, cut: Cut) -> None:
    same_both_ways(history, cut)


@differential(20, histories(sharing(), wall=True))
def test_the_wall_clock(history: History, cut: Cut) -> None:
    same_both_ways(history, cut)


@differential(30, merged(histories(sharing(), change=rules.changed)))
def test_merged_accounts(history: History, cut: Cut) -> None:
    same_both_ways(history, cut)


@differential(30, erased(histories(sharing(), change=rules.changed)))
def test_erased_accounts_and_contacts(history: History, cut: Cut) -> None:
    same_both_ways(history, cut)


@differential(20, histories(rules.anything(), change=rules.changed))
def test_rules_of_all_kinds(history: History, cut: Cut) -> None:
    same_both_ways(history, cut)
