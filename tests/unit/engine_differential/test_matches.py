"""Who matches now, engine against oracle, on the histories that the decisions are compared on."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.rules.engine import account_state
from services.rules.engine.matches import Matching, matching, slots_of
from services.rules.engine.state_codec import decode_parts
from tests.oracle import rule_strategies as rules
from tests.oracle.history import History
from tests.oracle.kinds import KINDS
from tests.oracle.matches import Found, matches
from tests.oracle.strategies import CONTACT_DATES, histories, merged
from tests.unit.engine_differential.comparing import story
from tests.unit.engine_differential.engine_runner import read_history
from tests.unit.engine_differential.test_differential import SCALE
from tests.unit.engine_differential.test_kinds import cases_of

NEAR = st.sampled_from((None, 0.5, 0.8, 0.0, 1.0))


@pytest.fixture(autouse=True, scope="module")
def _sweeps_often() -> Any:
    before, account_state.SWEEP_FLOOR = account_state.SWEEP_FLOOR, 4
    yield
    account_state.SWEEP_FLOOR = before


def compared(
    examples: int, cases: st.SearchStrategy[History]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        limits = settings(
            max_examples=max(10, int(examples * SCALE)), database=None, deadline=None, derandomize=True,
            suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate, Phase.shrink],
        )  # fmt: skip
        made: Any = limits(given(history=cases, near=NEAR)(test))
        return made

    return decorate


def agree(history: History, near: float | None) -> None:
    """The engine finds whom the oracle finds, from the stored states."""
    now, expected = matches(history, near)
    outcome = read_history(history)
    assert outcome.rules.by_name.keys() == expected.keys()
    for name, rule in outcome.rules.by_name.items():
        states = [decode_parts(blob, slots_of(rule)) for blob in outcome.stored.values()]
        found = [one for state in states for one in matching(outcome.rules, rule, state, now, near)]
        wanted = sorted(_in_words(one) for one in expected[name] if not _nothing(one))
        got = sorted(_told(one) for one in found if not _nothing(one))
        assert got == wanted, f"{name} near {near} at {now}\n{story(history)}"


def _nothing(one: Found | Matching) -> bool:
    """A contact or key whose events have left every window may be forgotten."""
    return (one.contact, one.key) != (None, None) and (one.value == 0 or one.share <= 0)


def _told(one: Matching) -> tuple[str, ...]:
    return tuple(map(repr, one._replace(share=float(one.share), value=_number(one.value))))


def _in_words(one: Found) -> tuple[str, ...]:
    return tuple(map(repr, (*one[:5], float(one.share), _number(one.value), *one[7:])))


def _number(value: Fraction | float | None) -> float | None:
    return None if value is None else float(value)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_as_its_oracle_has_it(name: str) -> None:
    """Also one that was added a minute ago."""
    compared(20, cases_of(name, change=None))(agree)()


@compared(20, histories(rules.one(rules.falling(), split=False)))
def test_thresholds_at_the_tick(history: History, near: float | None) -> None:
    agree(history, near)


@compared(20, histories(rules.contact_dates(), data=CONTACT_DATES))
def test_dates_of_contacts(history: History, near: float | None) -> None:
    agree(history, near)


@compared(20, histories(rules.held_back()))
def test_unless(history: History, near: float | None) -> None:
    agree(history, near)


@compared(20, histories(rules.joint()))
def test_all_of(history: History, near: float | None) -> None:
    agree(history, near)


@compared(20, histories(rules.anything(), change=rules.changed, wall=True))
def test_saves_by_the_wall_clock(history: History, near: float | None) -> None:
    agree(history, near)


@compared(20, merged(histories(rules.anything(), change=rules.changed)))
def test_merged_accounts(history: History, near: float | None) -> None:
    agree(history, near)
