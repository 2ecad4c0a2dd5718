"""What `touchline backtest` draws of a rehearsal: nothing that steers the terminal, and no more than fits."""

from __future__ import annotations

from io import StringIO
from typing import Any

from services.cli.rehearsal import _fitting
from services.cli.rehearsal_shown import draw_rehearsal
from services.cli.terminal import Terminal


def rehearsal(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "playbook": "greet", "plays": 3, "by_status": {"open": 0, "finished": 2, "skipped": 1},
        "actions": {"email": 1, "task": 0, "webhook": 0}, "skipped": {"play_open": 1},
        "held": {}, "breaker_at": None,
        "by_day": [{"day": "2026-03-02", "email": 1, "task": 0, "webhook": 0}],
        "recipients": {"people": 1, "most": 1, "p95": 1, "busiest": [{"recipient": "ann@x.test", "emails": 1}]},
        "assignees": [], "samples": [], "errors": [],
    }  # fmt: skip
    return found | more


def drawn(found: dict[str, Any]) -> str:
    said = StringIO()
    draw_rehearsal(Terminal(file=said, width=100, highlight=False, no_color=True), found)
    return said.getvalue()


def test_numbers_that_are_none_are_left_out() -> None:
    text = drawn(rehearsal())
    assert "3 plays (2 finished, 1 skipped): 1 mails\nleft out: 1 play_open\n" in text
    nothing = {"people": 0, "most": 0, "p95": 0, "busiest": []}
    text = drawn(rehearsal(actions={"email": 0}, skipped={}, by_day=[], recipients=nothing))
    assert "nothing goes out" in text
    assert "people" not in text
    assert "limit" not in text


def test_it_says_when_the_limit_is_reached() -> None:
    held = {"by_status": {"held": 3}, "held": {"breaker": 3}, "breaker_at": "2026-03-02T08:00:00Z"}
    text = drawn(rehearsal(**held))
    assert "3 plays (3 held)" in text
    assert "its limit is reached at 2026-03-02T08:00:00Z: from then on the playbook is paused\n" in text


def test_a_long_mail_is_cut_and_steers_nothing() -> None:
    sample = {
        "account": "acme\x1b[2J", "recipient": "[red]ann", "subject": "[b]\x07", "html": "",
        "text": "\x1b[31mred\n" * 40,
    }  # fmt: skip
    errors = [{"account": f"a{n}", "step": "0", "message": "no\x9b such"} for n in range(12)]
    text = drawn(rehearsal(samples=[sample] * 5, errors=errors))
    assert not {"\x1b", "\x07", "\x9b"} & set(text)
    assert "[red]ann" in text
    assert text.count("…") == text.count("to [red]ann") == 3
    assert "fails and 2 more" in text


def test_the_earliest_triggers_go_along_as_many_as_fit() -> None:
    triggers = [{"at": f"2026-03-{day:02d}T00:00:00Z", "data": "x" * 1_000_000} for day in range(28, 0, -1)]
    assert [one["at"][:10] for one in _fitting(triggers * 2)][:3] == [
        "2026-03-01",
        "2026-03-01",
        "2026-03-02",
    ]
    assert len(_fitting(triggers * 2)) == 31
