"""What may be said of a playbook, and what must not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.impact import ImpactOut
from schemas.sentences.impact import LEAST as LEAST_SAID
from schemas.sentences.impact import sentence
from services.actions.impact.proportions import each_needed
from services.actions.impact.verdict import LEAST, Group, Impact, judge


def group(complete: int, reached: int, open_: int = 0) -> Group:
    return Group(complete + open_, complete, reached)


def judged(treated: Group, holdout: Group, *, held_out: bool = True) -> Impact:
    return judge(treated, holdout, held_out=held_out)


NOBODY = Group(0, 0, 0)


@pytest.mark.parametrize(
    ("treated", "holdout", "verdict"),
    [
        (group(120, 60), group(60, 18), "helps"),
        (group(60, 18), group(120, 60), "hurts"),
        (group(120, 48), group(20, 5), "no_difference_seen"),
        (group(20, 20), group(20, 0), "helps"),
        (group(20, 0), group(20, 20), "hurts"),
        (group(19, 19), group(20, 0), "too_few"),
        (group(20, 20), group(19, 0), "too_few"),
        (group(20, 0), group(20, 0), "no_difference_seen"),
        (group(20, 20), group(20, 20), "no_difference_seen"),
        (group(500, 100, 70), NOBODY, "too_few"),
        (NOBODY, NOBODY, "too_few"),
        (NOBODY, group(500, 3), "too_few"),
    ],
)
def test_verdicts(treated: Group, holdout: Group, verdict: str) -> None:
    assert judged(treated, holdout).verdict == verdict


def test_without_a_holdout_nothing_is_compared() -> None:
    found = judged(group(500, 400), NOBODY, held_out=False)
    assert (found.verdict, found.lift, found.needed) == ("no_holdout", None, None)


def test_a_holdout_that_was_taken_back_still_tells() -> None:
    assert judged(group(120, 60), group(60, 18), held_out=False).verdict == "helps"


def test_those_whose_time_is_not_over_do_not_count() -> None:
    done = judged(group(120, 60), group(60, 18))
    waiting = judged(group(120, 60, open_=500), group(60, 18, open_=900))
    assert (done.lift, done.verdict, done.needed) == (waiting.lift, waiting.verdict, waiting.needed)


def test_the_lift_is_in_percentage_points_with_its_interval() -> None:
    lift = judged(group(120, 60), group(60, 18)).lift
    assert lift is not None
    assert (lift.points, lift.level) == (20, 0.95)
    assert (lift.low, lift.high) == pytest.approx((4.70242861, 33.40130454))


@pytest.mark.parametrize("groups", [(NOBODY, group(30, 5)), (group(30, 5), NOBODY)])
def test_no_lift_and_nothing_needed_while_one_group_is_empty(groups: tuple[Group, Group]) -> None:
    found = judged(*groups)
    assert (found.lift, found.needed) == (None, None)


def test_needed_is_what_the_smaller_group_lacks() -> None:
    each = each_needed(0.4, 0.25)
    assert each == 152
    assert judged(group(120, 48), group(20, 5)).needed == each - 20
    assert judged(group(20, 8), group(120, 30)).needed == each - 20
    assert judged(group(600, 240), group(100, 25)).needed == 0  # told already: it helps
    assert judged(group(10, 10), group(4, 0)).needed == LEAST - 4  # the least of all
    assert judged(group(30, 10), group(60, 20)).needed is None  # equal: there is nothing to tell


COUNTS = st.integers(0, 400).flatmap(
    lambda of: st.tuples(st.integers(of, of + 50), st.just(of), st.integers(0, of))
)


@given(COUNTS, COUNTS, st.booleans())
def test_it_never_says_more_than_the_interval(
    one: tuple[int, int, int], other: tuple[int, int, int], held_out: bool
) -> None:
    found = judge(Group(*one), Group(*other), held_out=held_out)
    if found.verdict in {"helps", "hurts"}:
        assert found.lift is not None
        assert min(one[1], other[1]) >= LEAST
        assert (found.lift.low > 0) == (found.verdict == "helps")
        assert (found.lift.high < 0) == (found.verdict == "hurts")
        assert found.needed == 0
    elif found.verdict == "no_difference_seen":
        assert found.lift is not None
        assert found.lift.low <= 0 <= found.lift.high
    else:
        assert found.verdict == "no_holdout" or min(one[1], other[1]) < LEAST


def said(treated: Group, holdout: Group, *, held_out: bool = True, goal: bool = True) -> str:
    found = judge(treated, holdout, held_out=held_out)
    figures = found.shown()
    text = sentence(figures, goal=goal)
    ImpactOut.model_validate({**figures, "sentence": text})
    return text


def test_in_plain_words() -> None:
    assert said(group(120, 60), group(60, 18)) == (
        "It helps: 60 of 120 accounts with a play reached the goal in time (50 %), and 18 of 60 accounts held out "
        "(30 %). That is a lift of 20 percentage points; with 95 % confidence it lies between 4.7 and 33.4."
    )
    assert said(group(60, 18), group(120, 60)).startswith("It hurts: 18 of 60 accounts with a play reached")
    assert said(group(120, 48), group(20, 5)) == (
        "No difference seen: 48 of 120 accounts with a play reached the goal in time (40 %), and 5 of 20 accounts held "
        "out (25 %). That is a lift of 15 percentage points; with 95 % confidence it lies between -8.4 and 31.5. A "
        "lift as seen could be told from none once 132 more are complete in the smaller group."
    )
    assert said(group(1, 1), group(3, 0)) == (
        "Too few to tell: the time for the goal is over for 1 account with a play and for 3 held out, and 20 of each "
        "are the least. A lift as seen could be told from none once 19 more are complete in the smaller group."
    )
    assert said(group(10, 4), NOBODY, held_out=False) == (
        "Nobody is held out, so nothing tells what would have come without it: 4 of 10 accounts with a play reached "
        "the goal in time (40 %)."
    )
    assert (
        said(group(0, 0, 5), NOBODY, goal=False) == "The playbook has no goal, so nothing tells what it does."
    )
    assert LEAST_SAID == LEAST
