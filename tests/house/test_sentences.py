"""Every reason of the closed sets has a sentence that can be read aloud, whatever is known and whatever is not."""

from enum import StrEnum
from typing import Any

import pytest

from schemas.reasons import EXPLAINED, Reason
from schemas.rule import RuleIn
from schemas.sentences import plays, rules

WHEN: dict[str, dict[str, Any]] = {
    "threshold": {
        "event": "login",
        "aggregate": "avg",
        "of": "data.x",
        "per": "account.attributes.x",
        "since": {"event": "s"},
    },
    "trend": {"event": "login", "over": "7d", "baseline": "28d", "falls_by": 20},
    "absence": {"event": "login", "for": "14d"},
    "date": {"attribute": "account.attributes.renewal_date", "before": "90d"},
    "becomes": {"is": {"account.attributes.x": 1}},
    "all_of": {"within": "30d", "of": [{"absence": {"event": "login", "for": "14d"}}] * 3},
}
WHEN["threshold"] |= {"within": "30d", "at_least": 2}
KIND_OF = {
    **dict.fromkeys(("trend_fell", "trend_rose", "change_too_small", "baseline_too_small"), "trend"),
    **dict.fromkeys(("absent", "returned", "not_armed", "deadline_ahead", "not_away_long_enough"), "absence"),
    **dict.fromkeys(("date_reached", "date_ahead", "date_past", "no_date"), "date"),
    **dict.fromkeys(("became_true", "already_true", "condition_false"), "becomes"),
    **dict.fromkeys(("all_held", "member_not_held"), "all_of"),
}
PLAY_REASONS = [reason for kind in plays.SENTENCES for reason in kind]


def reads_well(text: str) -> bool:
    """Whether it is a sentence: begins like one, ends like one, with nothing in it that only programs say."""
    odd = [part for part in ("None", "{", "}", "  ", "..") if part in text]
    return text[0] == text[0].upper() and text.endswith(".") and not odd


@pytest.mark.parametrize("reason", list(Reason))
def test_of_a_rule(reason: Reason) -> None:
    kind = KIND_OF.get(reason, "threshold")
    by = {"by": "data.y"} if kind == "threshold" else {}
    rule = RuleIn.model_validate({"name": "r", "when": {kind: WHEN[kind]}, **by})
    span = kind in {"absence", "date"}
    known = rules.RuleCase(
        rule=rule, account="acme", tier="high", value=3.5, threshold="14d" if span else 2, into="b",
        figures={"recent": 1, "baseline": 2}, at="2026-01-31T09:00:00Z", armed="2026-01-31T09:00:00Z",
    )  # fmt: skip
    assert reads_well(rules.sentence(reason, known))
    little = rules.RuleCase(rule=rule, account="acme", tier="high", threshold="14d" if span else 2, into="b")
    assert reads_well(rules.sentence(reason, little))
    assert reads_well(rules.sentence(reason, rules.RuleCase(account="acme", tier="high", into="b")))
    assert reads_well(EXPLAINED[reason])


@pytest.mark.parametrize("reason", PLAY_REASONS)
def test_of_a_play(reason: StrEnum) -> None:
    for channel in ("email", "task", "webhook", None):
        for to in ("ann@acme.test", None):
            case = plays.PlayCase(playbook="p", tier="low", channel=channel, recipient=to, topic="billing")
            assert reads_well(plays.sentence(reason, case))
