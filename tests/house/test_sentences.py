"""Every reason of the closed sets has a sentence that can be read aloud, whatever is known and whatever is not."""

from enum import StrEnum
from typing import Any

import pytest

from schemas.reasons import EXPLAINED, Reason
from schemas.rule import RuleIn
from schemas.sentences import plays, rules
from schemas.tiered import for_tier
from schemas.when import KINDS as WORDS
from services.rules.engine.kinds import KINDS

WHEN: dict[str, dict[str, Any]] = {name: words.example for name, words in WORDS.items()} | {
    "all_of": {"within": "30d", "of": [{"absence": {"event": "login", "for": "14d"}}] * 3},
}
WHEN["threshold"] = {
    "event": "login", "aggregate": "avg", "of": "data.x", "per": "account.attributes.x",
    "since": {"event": "s"}, "within": "30d", "at_least": 2,
}  # fmt: skip
KIND_OF = {
    **{reason: name for name, kind in reversed(KINDS.items()) for reason in kind.reasons},
    **dict.fromkeys((Reason.ALL_HELD, Reason.MEMBER_NOT_HELD), "all_of"),
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
    body = rule.when.members[0].body
    said = [for_tier(getattr(body, name), "high") for name in body.tiered_fields()]
    threshold = next((one for one in said if one is not None), 2)
    known = rules.RuleCase(
        rule=rule, account="acme", tier="high", value=3.5, threshold=threshold, into="b",
        figures={"recent": 1, "baseline": 2}, at="2026-01-31T09:00:00Z", armed="2026-01-31T09:00:00Z",
    )  # fmt: skip
    assert reads_well(rules.sentence(reason, known))
    little = rules.RuleCase(rule=rule, account="acme", tier="high", threshold=threshold, into="b")
    assert reads_well(rules.sentence(reason, little))
    assert reads_well(rules.sentence(reason, rules.RuleCase(account="acme", tier="high", into="b")))
    assert reads_well(EXPLAINED[reason])


@pytest.mark.parametrize("reason", PLAY_REASONS)
def test_of_a_play(reason: StrEnum) -> None:
    for channel in ("email", "task", "webhook", None):
        for to in ("ann@acme.test", None):
            case = plays.PlayCase(playbook="p", tier="low", channel=channel, recipient=to, topic="billing")
            assert reads_well(plays.sentence(reason, case))
