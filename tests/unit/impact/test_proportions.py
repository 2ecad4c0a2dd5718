"""Intervals and group sizes against published examples, another program's figures, and slow ways of reckoning them."""

from math import sqrt
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.actions.impact.proportions import POWER, Z, each_needed, newcombe, wilson

Proportion = tuple[int, int]
PROPORTIONS = st.integers(1, 2_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))
SHARES = st.integers(0, 200).map(lambda n: n / 200)

# Newcombe, Interval estimation for the difference between independent proportions (1998), table II, method 10.
PUBLISHED = [
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
    ((0, 10), (0, 20), -0.1611, 0.2775),
    ((0, 10), (0, 10), -0.2775, 0.2775),
    ((10, 10), (0, 20), 0.6791, 1.0000),
    ((10, 10), (0, 10), 0.6075, 1.0000),
]
# statsmodels 0.15.0: confint_proportions_2indep(…, method="newcomb", compare="diff")
STATSMODELS = [
    ((12, 40), (3, 30), 0.0034732748, 0.3675879549),
    ((1, 1), (0, 1), -0.1221087207, 1.0),
    ((100, 100), (100, 100), -0.0369934982, 0.0369934982),
    ((0, 57), (19, 19), -1.0, -0.8203593479),
    ((311, 400), (77, 113), 0.0062381587, 0.1943880495),
    ((48, 120), (5, 20), -0.0840048975, 0.3145650594),
    ((60, 120), (18, 60), 0.0470242861, 0.3340130454),
]


@pytest.mark.parametrize(("one", "other", "low", "high"), PUBLISHED)
def test_newcombe_s_own_examples(one: Proportion, other: Proportion, low: float, high: float) -> None:
    assert [round(end, 4) for end in newcombe(one, other)[1:]] == [low, high]


@pytest.mark.parametrize(("one", "other", "low", "high"), STATSMODELS)
def test_the_figures_of_another_program(one: Proportion, other: Proportion, low: float, high: float) -> None:
    assert newcombe(one, other)[1:] == pytest.approx((low, high), abs=1e-9)


def score_ends(reached: int, of: int) -> tuple[float, float]:
    """The shares at which the score test is just not refused, found by halving."""

    def end(inside: float, outside: float) -> float:
        for _ in range(200):
            middle = (inside + outside) / 2
            far = abs(reached / of - middle) > Z * sqrt(middle * (1 - middle) / of)
            inside, outside = (inside, middle) if far else (middle, outside)
        return inside

    return end(reached / of, 0.0), end(reached / of, 1.0)


@given(PROPORTIONS)
def test_wilson_s_ends_are_where_the_score_test_changes_its_mind(one: Proportion) -> None:
    assert wilson(*one) == pytest.approx(score_ends(*one), abs=1e-9)


@given(PROPORTIONS, PROPORTIONS)
def test_the_interval_holds_the_difference_and_turns_with_the_groups(
    one: Proportion, other: Proportion
) -> None:
    difference, low, high = newcombe(one, other)
    assert -1 <= low <= difference <= high <= 1
    assert newcombe(other, one) == pytest.approx((-difference, -high, -low), abs=1e-12)


@pytest.mark.parametrize("of", [1, 2, 19, 20, 10_000])
def test_none_and_all_end_exactly(of: int) -> None:
    assert wilson(0, of)[0] == 0.0
    assert wilson(of, of)[1] == 1.0
    assert newcombe((0, of), (of, of))[:2] == (-1.0, -1.0)
    assert newcombe((of, of), (0, of))[2] == 1.0


def power(p: float, q: float, each: int) -> float:
    """The power of the two-sided test at 5 % with so many in each group, the far side left out."""
    pooled = (p + q) / 2
    under_none, under_some = 2 * pooled * (1 - pooled) / each, (p * (1 - p) + q * (1 - q)) / each
    beyond = Z * sqrt(under_none) - abs(p - q)
    return float(beyond < 0) if under_some == 0 else 1 - NormalDist().cdf(beyond / sqrt(under_some))


@given(SHARES, SHARES)
def test_needed_is_the_first_number_with_enough_power(p: float, q: float) -> None:
    each = each_needed(p, q)
    if p == q:
        assert each is None
        return
    assert each is not None
    assert power(p, q, each) >= POWER - 1e-9 or each == 1
    assert each == 1 or power(p, q, each - 1) < POWER


# R: ceiling(power.prop.test(p1=…, p2=…, power=.8)$n)
@pytest.mark.parametrize(("p", "q", "each"), [(0.5, 0.75, 58), (0.1, 0.15, 686), (0.4, 0.25, 152)])
def test_needed_as_in_the_books(p: float, q: float, each: int) -> None:
    assert each_needed(p, q) == each
    assert each_needed(q, p) == each
