"""What `touchline backtest` draws: bars that add up, names that steer nothing, values as they were given."""

from __future__ import annotations

from io import StringIO
from typing import Any

from services.cli.backtest_chart import chart, draw
from services.cli.terminal import Terminal

JSON = dict[str, Any]


def day(name: str, **tiers: int) -> JSON:
    return {"day": name, "high": 0, "low": 0, "tech": 0, **tiers}


def answer(**more: Any) -> JSON:
    by_day = [
        {"day": "2026-03-02", "high": 1, "low": 0, "tech": 2},
        {"day": "2026-03-05", "high": 0, "low": 1, "tech": 0},
    ]
    found = {
        "rule": "spike", "triggers": 4, "subjects": 3, "events": 1200, "accounts": 40,
        "log_from": "2026-01-01T00:00:00Z",
        "by_tier": {"high": 1, "low": 1, "tech": 2}, "by_day": by_day, "variants": [], "against": None,
    }  # fmt: skip
    return found | more


def drawn(*answers: JSON, triggers: list[JSON]) -> str:
    said = StringIO()
    draw(Terminal(file=said, width=100, highlight=False, no_color=True), answers, triggers)
    return said.getvalue()


def trigger(account: str, tier: str = "tech") -> JSON:
    return {"account": account, "tier": tier, "at": "2026-03-02T09:00:00Z"}


def test_every_day_has_its_bar_and_an_empty_one_is_empty() -> None:
    lines = [line.plain for line in chart(answer()["by_day"])]
    assert lines == [
        "by day (UTC)   █ high  ▓ low  ░ tech",
        "2026-03-02 █░░ 3",
        "2026-03-03 ·",
        "2026-03-04 ·",
        "2026-03-05 ▓ 1",
    ]


def test_many_days_become_weeks_and_no_tier_vanishes_beside_a_long_bar() -> None:
    days = [
        {"day": "2026-01-01", "high": 1, "low": 0, "tech": 4_800},
        {"day": "2026-06-30", "high": 0, "low": 3, "tech": 0},
    ]
    lines = [line.plain for line in chart(days)]
    assert lines[0].startswith("by week, from its Monday")
    assert lines[1] == f"2025-12-29 █{'░' * 48} 4,801"
    assert lines[-1] == "2026-06-29 ▓ 3"
    assert len(lines) == 28


def test_it_says_who_and_what_other_values_would_have_done() -> None:
    variants = [
        {"value": {"high": 8}, "triggers": 9, "subjects": 5, "by_tier": {"high": 9, "low": 0, "tech": 0}}
    ]
    against = {"rule": "old", "same": 1, "added": 3, "dropped": 2}
    text = drawn(
        answer(variants=variants, against=against),
        triggers=[trigger("acme"), trigger("acme"), trigger("beta", "high"), trigger("[red]\x1b[2J")],
    )
    assert (
        "4 triggers for 3 subjects (1 high, 1 low, 2 tech), of 1,200 events of 40 accounts since 2026-01-01"
        in text
    )
    assert "high: 8" in text
    assert "against old: 1 the same, 3 added, 2 dropped" in text
    assert text.index("acme") < text.index("beta")
    assert "\x1b[2J" not in text
    assert "[red]" in text


def test_nothing_fired_is_said_and_no_chart_drawn() -> None:
    nothing = {
        "triggers": 0,
        "subjects": 0,
        "by_tier": {"high": 0, "low": 0, "tech": 0},
        "by_day": [],
        "log_from": None,
    }
    text = drawn(answer(**nothing), triggers=[])
    assert "0 triggers for 0 subjects, of 1,200 events of 40 accounts" in text
    assert "by day" not in text
