"""Compiles tiered documents: exact limits, spans and cooldowns per tier."""

from fractions import Fraction
from typing import Any

from schemas.duration import CalendarDuration, parse_calendar, parse_duration
from schemas.fields import exact
from schemas.rule import RuleIn
from schemas.tiered import TIERS, for_tier

NEVER = 1 << 62  # a cooldown without end


def per_tier(value: Any) -> dict[str, Any]:
    """The value for each tier; tiers that are not covered are left out."""
    found = {tier: for_tier(value, tier) for tier in TIERS}
    return {tier: one for tier, one in found.items() if one is not None}


def limits(value: Any) -> dict[str, Fraction]:
    """The limits as exact numbers, per tier."""
    return {tier: exact(one) for tier, one in per_tier(value).items()}


def spans(value: Any) -> dict[str, int]:
    """The spans in microseconds, per tier."""
    return {tier: parse_duration(one) for tier, one in per_tier(value).items()}


def date_spans(value: Any) -> dict[str, int | CalendarDuration]:
    """The spans in microseconds or months, per tier."""
    return {tier: parse_calendar(one) for tier, one in per_tier(value).items()}


def cooldowns(rule: RuleIn) -> dict[str, int]:
    """The cooldowns in microseconds, per tier: 0 for none, `NEVER` for a rule that fires once."""
    return {tier: _cooldown(rule, tier) for tier in TIERS}


def _cooldown(rule: RuleIn, tier: str) -> int:
    span = rule.cooldown if rule.cooldown is not None else rule.when.default_cooldown(tier)
    return NEVER if span == "once" else parse_duration(span)
