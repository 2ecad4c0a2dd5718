"""What is remembered of templates that ran into their limit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.actions.rendering import Body, MailJob, RenderError, RenderPool, TextJob
from services.actions.rendering.circuit_breaker import (
    FORGET_S,
    MOST,
    REDUCED_SECONDS,
    REST_S,
    ROW,
    CircuitBreakers,
)
from services.actions.rendering.jobs import CPU_SECONDS, CheckJob, Job

LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
# costs a little or everything, as the data have it
AS_THE_DATA = "{% for i in range(tier) %}{% for j in range(tier) %}{% endfor %}{% endfor %}done"


def job(name: str, tier: Any = "low") -> TextJob:
    return TextJob(body={"title": name}, context={"tier": tier})


def test_less_after_the_first_time_and_rest_after_three_in_a_row() -> None:
    fuses = CircuitBreakers()
    assert fuses.allowance(job("a"), 0.0) == CPU_SECONDS
    for n in range(1, ROW + 1):
        fuses.ended(job("a"), float(n), within_limits=False)
        assert fuses.allowance(job("a", "another"), float(n)) == (REDUCED_SECONDS if n < ROW else 0.0)
    assert fuses.allowance(job("b"), 3.0) == CPU_SECONDS
    assert fuses.allowance(job("a"), ROW + REST_S - 0.1) == 0.0
    assert fuses.allowance(job("a"), ROW + REST_S) == REDUCED_SECONDS  # tried again, and if it fails:
    fuses.ended(job("a"), ROW + REST_S, within_limits=False)
    assert fuses.allowance(job("a"), ROW + REST_S + 1) == 0.0
    assert fuses.allowance(job("a"), ROW + REST_S + FORGET_S) == CPU_SECONDS


def test_one_that_is_rendered_in_between_is_no_row() -> None:
    fuses = CircuitBreakers()
    for n in range(9 * ROW):
        fuses.ended(job("a"), float(n), within_limits=n % ROW == ROW - 1)
        assert fuses.allowance(job("a"), float(n)) == REDUCED_SECONDS


def test_checks_do_not_count_and_templates_are_told_apart() -> None:
    fuses = CircuitBreakers()
    check: Job = CheckJob(sources={"subject": "x"})
    for _ in range(9):
        fuses.ended(check, 0.0, within_limits=False)
    assert fuses.known(0.0) == {}
    mails = [MailJob(subject="s", markdown="m", context={}), MailJob(subject="s", html="m", context={})]
    for _ in range(ROW):
        fuses.ended(mails[0], 0.0, within_limits=False)
    assert fuses.allowance(mails[0], 0.0) == 0.0
    assert fuses.allowance(mails[1], 0.0) == CPU_SECONDS


def test_it_remembers_so_many() -> None:
    fuses = CircuitBreakers()
    for n in range(MOST + 10):
        fuses.ended(job(str(n)), 0.0, within_limits=False)
    assert len(fuses.known(0.0)) == MOST
    assert fuses.allowance(job("0"), 0.0) == CPU_SECONDS
    assert fuses.allowance(job(str(MOST + 9)), 0.0) == REDUCED_SECONDS
    assert fuses.known(FORGET_S) == {}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.floats(0, 40)), max_size=40))
def test_what_is_sent_along_says_the_same(steps: list[tuple[str, bool, float]]) -> None:
    """Two that remember, one of what the other told it, decide alike whatever comes next."""
    here, now = CircuitBreakers(), 0.0
    for name, fine, pause in steps:
        there = CircuitBreakers(here.known(now))
        now += pause
        assert there.allowance(job(name), now) == here.allowance(job(name), now)
        for fuses in (here, there):
            fuses.ended(job(name), now, within_limits=fine)
        assert there.known(now) == here.known(now)


@pytest.mark.parametrize(
    "source", [LOOPS, "{{ 3 ** (10 ** 8) }}", "{{ 'a' * 10 ** 10 }}"], ids=["loops", "power", "memory"]
)
def test_a_template_that_runs_away_costs_little_however_often(source: str, context: dict[str, Any]) -> None:
    renderer = RenderPool()
    try:
        bad, good = TextJob(body=source, context=context), TextJob(body="{{ account.id }}", context=context)
        results = renderer.render_many([good, *[bad] * 200, good])
        assert results[0] == results[-1] == Body("acme")
        errors = [each for each in results[1:-1] if isinstance(each, RenderError)]
        assert [each.reason for each in errors] == ["template_limits"] * 200
        assert sum("not tried" in each.message for each in errors) == 200 - ROW
        another = renderer.render_many([bad])[0]  # also in the next batch, and in another process
        assert isinstance(another, RenderError)
        assert "not tried" in another.message
    finally:
        renderer.close()


def test_accounts_for_which_it_is_no_trouble_are_rendered(context: dict[str, Any]) -> None:
    renderer = RenderPool()
    try:
        heavy, light = (TextJob(body=AS_THE_DATA, context={**context, "tier": n}) for n in (50_000, 10))
        results = renderer.render_many([heavy, light] * 10)
        assert results[1::2] == [Body("done")] * 10
        assert all(isinstance(each, RenderError) for each in results[::2])
    finally:
        renderer.close()
