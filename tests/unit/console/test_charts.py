"""Charts: what is drawn adds up to what is said, and names are text."""

import re
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.charts import (
    HEIGHT,
    MOST_BARS,
    Series,
    by_tier,
    curve_over,
    days_from,
    stacked_bars,
)
from services.console.render import environment

FIRST = date(2026, 1, 30)
HOSTILE = "<script>alert(1)</script>\"'{{ 7 * 7 }}"


def days(n: int) -> list[str]:
    return days_from(FIRST, FIRST + timedelta(days=n - 1))


def drawn(macro: str, *args: Any) -> str:
    template = environment().from_string(
        f"{{% from 'components.html' import {macro} %}}{{{{ {macro}(*args) }}}}"
    )
    return template.render(args=args)


counts = st.lists(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), max_size=400)


@given(counts)
def test_parts_stand_one_upon_the_other_and_stay_inside(rows: list[list[int]]) -> None:
    series = [Series(name, name, [row[n] for row in rows]) for n, name in enumerate(("high", "low", "tech"))]
    bars = stacked_bars(days(len(rows)), series, "trigger")
    assert bars.total == sum(map(sum, rows))
    assert sum(bar.total for bar in bars.bars) == bars.total
    assert len(bars.bars) <= MOST_BARS
    for bar in bars.bars:
        assert sum(part.height for part in bar.parts) == pytest.approx(HEIGHT * bar.total / bars.scale[0])
        foot = HEIGHT
        for part in bar.parts:
            assert part.y + part.height == pytest.approx(foot)
            assert part.y >= -1e-6
            foot = part.y
        assert 0 <= bar.x < bar.x + bar.width <= bars.width


@given(st.floats(0, 10**9))
def test_the_axis_holds_the_greatest_value_and_not_much_more(most: float) -> None:
    top, middle, foot = curve_over(["a"], [most]).scale
    assert top >= most
    assert top <= max(2, 2 * most)
    assert (middle * 2, foot) == (top, 0)


def test_no_day() -> None:
    bars = stacked_bars([], by_tier([], []), "trigger")
    assert (bars.bars, bars.total, bars.label) == ([], 0, "0 triggers")
    page = drawn("chart", bars, "Triggers")
    assert "<svg" not in page
    assert "0 triggers" in page


def test_one_day() -> None:
    bars = stacked_bars(days(1), [Series("High touch", "high", [1])], "trigger")
    assert bars.label == "1 trigger, 30 Jan"
    assert bars.ends == ["30 Jan"]
    page = drawn("chart", bars, "Triggers")
    assert 'role="img"' in page
    assert 'aria-label="Triggers: 1 trigger, 30 Jan"' in page
    assert page.count('class="high"') == 1, "one colour needs no key"


def test_many_days_are_drawn_by_the_week() -> None:
    bars = stacked_bars(days(400), [Series("", "one", [1] * 400)], "play", link=lambda a, b: f"/{a}/{b}")
    assert len(bars.bars) == 58
    assert bars.label == "400 plays, 30 Jan 2026 – 5 Mar 2027"
    assert bars.bars[0].total == 1, "what is left of the first week"
    assert {bar.total for bar in bars.bars[1:]} == {7}
    assert bars.bars[1].label == "31 Jan 2026 – 6 Feb 2026"
    assert bars.bars[1].link == "/2026-01-31/2026-02-06"
    assert bars.bars[-1].link == f"/2027-02-27/{days(400)[-1]}"


def test_what_the_api_counts_falls_on_its_day() -> None:
    items = [
        {"day": "2026-01-31", "tier": "low", "n": 3},
        {"day": "2026-01-31", "tier": "low", "n": 2},
        {"day": "2025-01-31", "tier": "low", "n": 9},
        {"day": "2026-01-30", "tier": None, "n": 9},
    ]
    assert [list(one.values) for one in by_tier(items, days(2))] == [[0, 0], [0, 5], [0, 0]]


def test_names_are_text_and_no_classes() -> None:
    bars = stacked_bars(
        days(2), [Series(HOSTILE, HOSTILE, [1, 2])], HOSTILE, link=lambda _, __: f"/x?{HOSTILE}"
    )
    curve = curve_over([HOSTILE, "b"], [1, None], HOSTILE, 0, [f"/x?{HOSTILE}", None])
    for page in (drawn("chart", bars, HOSTILE), drawn("curve", curve, HOSTILE)):
        assert "<script" not in page
        assert "style=" not in page
        assert not re.search(r'class="[^"]*(alert|script)', page)
        assert "&lt;script&gt;" in page
        assert "49" not in page


def test_every_number_leads_to_what_it_counts() -> None:
    bars = stacked_bars(
        days(2), [Series("", "one", [1_200, 0])], "play", link=lambda a, b: f"/plays?after={a}"
    )
    page = drawn("chart", bars, "Plays")
    assert '<a href="/plays?after=2026-01-30">1,200</a>' in page
    assert page.count("<a ") == 1, "nothing to see where nothing is counted"


def test_a_curve_leaves_out_what_is_not_known() -> None:
    curve = curve_over(["8", "10", "12"], [9, None, 2.5], "Tasks", now=1)
    assert curve.path == "M5.0 10.0 L25.0 75.0"
    assert curve.label == "Tasks (8: 9, 12: 2.5)"
    page = drawn("curve", curve, "Tasks")
    assert page.count("<circle") == 0, "circles would be stretched"
    assert "in force" in page
    assert "<svg" not in drawn("curve", curve_over([], [], "Tasks"), "Tasks")
