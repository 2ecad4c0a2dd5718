"""The engine against the oracle on generated histories, whatever the batches and restarts.

`TOUCHLINE_DIFFERENTIAL` scales the number of examples: 1 (default) runs some 1,300, 0.1 a tenth of them.
Every run makes the same examples, unless `TOUCHLINE_DIFFERENTIAL_SEED` is set.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from services.rules.engine import account_state
from tests.oracle import rule_strategies as rules
from tests.oracle import run
from tests.oracle.history import History
from tests.oracle.strategies import ACCOUNT_DATA, CONTACT_DATES, DATE_DATA, LONG, histories, merged
from tests.unit.engine_differential.comparing import differences, story
from tests.unit.engine_differential.engine_runner import Cut, plain, run_engine

SCALE = float(os.environ.get("TOUCHLINE_DIFFERENTIAL", "1"))
SEED = os.environ.get("TOUCHLINE_DIFFERENTIAL_SEED")

CUTS = st.builds(
    Cut,
    st.lists(st.sampled_from((1, 2, 3, 5, 100)), min_size=1, max_size=3).map(tuple),
    st.lists(st.booleans(), min_size=1, max_size=3).map(tuple),
)


def differential(
    examples: int, cases: st.SearchStrategy[History]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test of so many generated histories, each read in one go and in some other way."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        limits = settings(
            max_examples=max(10, int(examples * SCALE)),
            database=None,
            deadline=None,
            derandomize=SEED is None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        )
        made: Any = limits(given(history=cases, cut=CUTS)(test))
        wrapped: Callable[..., None] = seed(SEED)(made) if SEED is not None else made
        return wrapped

    return decorate


@pytest.fixture(autouse=True, scope="module")
def _sweeps_often() -> Any:
    """Old state is cleared away after a few events already, not only after many."""
    before, account_state.SWEEP_FLOOR = account_state.SWEEP_FLOOR, 4
    yield
    account_state.SWEEP_FLOOR = before


def agree(history: History, cut: Cut) -> None:
    """The engine gives the oracle's triggers, and the same ones however the log is read."""
    whole = run_engine(history)
    wrong = differences(run(history), [plain(trigger) for trigger in whole])
    assert not wrong, "\n".join([*wrong, story(history)])
    again = run_engine(history, cut)
    assert again == whole, f"read as {cut}: {again}\n\nat once: {whole}\n{story(history)}"


@differential(200, histories(rules.one(rules.rising(), split=True)))
def test_thresholds_at_events(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(80, histories(rules.from_then_on()))
def test_thresholds_with_since(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(100, histories(rules.one(rules.falling(), split=False)))
def test_thresholds_at_the_tick(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(200, histories(rules.one(rules.absence(), split=True)))
def test_absences(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(80, histories(rules.one(rules.trend(), split=False)))
def test_trends(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(80, histories(rules.one(rules.date(), split=False), data=DATE_DATA))
def test_dates_of_accounts(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(60, histories(rules.contact_dates(), data=CONTACT_DATES))
def test_dates_of_contacts(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(80, histories(rules.one(rules.becomes(), split=True), data=ACCOUNT_DATA))
def test_becomes(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(100, histories(rules.held_back()))
def test_unless(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(120, histories(rules.joint()))
def test_all_of(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(120, histories(rules.anything(), change=rules.changed))
def test_saves(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(40, histories(rules.crowd()))
def test_many_rules(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(30, histories(rules.one(rules.large(), split=True), sizes=LONG))
def test_many_events(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(80, histories(rules.moments(), change=rules.moved, data=DATE_DATA))
def test_saves_that_move_deadlines(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(150, histories(rules.anything(), wall=True))
def test_the_wall_clock(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(200, merged(histories(rules.anything(), change=rules.changed)))
def test_merged_accounts(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(100, merged(histories(rules.one(rules.absence(), split=True))))
def test_absences_of_merged_accounts(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(60, merged(histories(rules.contact_dates(), data=CONTACT_DATES)))
def test_dates_of_contacts_that_go_along(history: History, cut: Cut) -> None:
    agree(history, cut)


@differential(80, merged(histories(rules.anything(), wall=True)))
def test_merged_accounts_by_the_wall_clock(history: History, cut: Cut) -> None:
    agree(history, cut)
