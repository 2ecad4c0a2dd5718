"""Rules and tiers as the API and the files take them (contract, sections 4 and 6)."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.conditions.model import AccountCondition, EventCondition
from schemas.duration import Cooldown, Duration
from schemas.fields import OF_VERSIONS, EventPath, Name, Strict, Types, invalid
from schemas.tiered import TIERS, Tier
from schemas.when import Unless, When

Status = Literal["draft", "active", "paused", "shadow"]


class Alive(Strict):
    """The events that show that the rule's source works, and how long the source may go without one."""

    event: Types = Field(
        description='Events that some account or other sends all the time: a type, a list of types, or "*" '
        "alone (every type that is not reserved).",
        examples=["login"],
    )
    within: Duration = Field(
        description="If no such event comes for longer than this, the source counts as silent.",
        examples=["12h"],
    )


class RuleIn(Strict):
    """A rule to save."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS | {"unhealthy", "concerned", "plays", "sentence"}

    name: Name = Field(description="The name of the rule, unique among rules.", examples=["support-spike"])
    description: str = Field(
        default="", max_length=4096, description="A description for people.", examples=["Too many calls"]
    )
    when: When = Field(description="When the rule fires. Holds exactly one kind of trigger.")
    where: EventCondition | None = Field(
        default=None,
        description="A condition that must hold when the rule fires.",
        examples=[{"account.attributes.status": {"ne": "churned"}}],
    )
    unless: Unless | None = Field(default=None, description="What must not hold when the rule fires.")
    alive: Alive | None = Field(
        default=None,
        description="The events that show that the rule's source works. While the source is silent, the rule "
        "decides nothing. For absence, trend, at_most and below.",
        examples=[{"event": "login", "within": "12h"}],
    )
    scope: Literal["account", "contact"] = Field(
        default="account", description="Whether the rule counts for each account or for each contact."
    )
    by: EventPath | None = Field(
        default=None,
        description="A path in the event. The rule counts separately for each value at this path.",
        examples=["data.invoice"],
    )
    cooldown: Cooldown | None = Field(
        default=None,
        description='How long the rule does not fire again for the same subject. "0s" means no cooldown, and '
        '"once" means never again.',
        examples=["30d"],
    )
    playbook: Name | None = Field(
        default=None,
        description="The playbook to start. Without it, the trigger is only recorded.",
        examples=["support-outreach"],
    )
    status: Status | None = Field(
        default=None,
        description="The status of the rule. Default for a new rule: draft. A PUT without it keeps the "
        "current status.",
        examples=["active"],
    )
    backfill: bool = Field(
        default=False,
        strict=True,
        description="With status active or shadow, build the rule's state from the log first.",
    )

    @field_validator("alive")
    @classmethod
    def _alive_fits(cls, alive: Alive | None, info: ValidationInfo) -> Alive | None:
        when = info.data.get("when")
        if alive is None or when is None:
            return alive
        if when.all_of is not None or not when.body.rests_on_silence:
            raise invalid(
                "goes with absence, trend, and thresholds with at_most or below, for which no event speaks"
            )
        return alive

    @field_validator("scope")
    @classmethod
    def _scope_fits(cls, scope: str, info: ValidationInfo) -> str:
        when = info.data.get("when")
        for member in when.members if when is not None else ():
            if scope == "contact" and member.body.at_tick:
                raise invalid("must be account for what is decided at the daily tick (at_most, below, trend)")
        return scope

    @field_validator("by")
    @classmethod
    def _by_fits(cls, by: str | None, info: ValidationInfo) -> str | None:
        when = info.data.get("when")
        for member in when.members if when is not None and by is not None else ():
            if not member.body.has_event:
                raise invalid("does not go with what no event decides (at_most, below, trend, date)")
        return by

    @model_validator(mode="after")
    def _members_fit(self) -> "RuleIn":
        for place, member in enumerate(self.when.members):
            if (misfit := member.body.misfit(self.scope)) is not None:
                inside = "" if self.when.all_of is None else f"all_of.of.{place}."
                name, why = misfit
                raise invalid(why, at=f"when.{inside}{member.kind}.{name}")
        return self


def cooldown_span(rule: RuleIn) -> str | None:
    """How long a rule cools down: as given, else its window by default. None: not at all, or for ever."""
    if rule.cooldown is not None:
        return None if rule.cooldown == "once" else rule.cooldown
    spans = {rule.when.default_cooldown(tier) for tier in TIERS}
    return spans.pop() if len(spans) == 1 and not spans & {"0s", "once"} else None


class TierEntry(Strict):
    """A tier, and the condition that puts an account into it."""

    tier: Tier = Field(description="The tier: high, low or tech.", examples=["high"])
    where: AccountCondition | None = Field(
        default=None,
        description="The condition on the account. Without it, every account matches.",
        examples=[{"account.attributes.arr": {"gte": 50000}}],
    )


class TiersDoc(Strict):
    """The tier policy. The first entry that matches decides. An account's own tier overrides the policy."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    tiers: Annotated[list[TierEntry], Field(min_length=1, max_length=100)] = Field(
        description="The entries of the policy. The first that matches decides."
    )


class ActivateIn(Strict):
    """How to activate a rule."""

    backfill: bool = Field(
        default=False,
        strict=True,
        description="Build the rule's state from the log first, as far back as the log is kept.",
    )


class PauseIn(Strict):
    """How to pause a rule."""

    plays: Literal["go_on", "hold", "exit"] = Field(
        default="go_on",
        description="What happens to the rule's open plays: they go on, are held until the rule is active again, or "
        "are ended.",
    )


TIERS_EXAMPLE: dict[str, Any] = {
    "tiers": [
        {"tier": "high", "where": {"account.attributes.arr": {"gte": 50000}}},
        {"tier": "low", "where": {"account.attributes.arr": {"gte": 10000}}},
        {"tier": "tech"},
    ]
}
RULE_EXAMPLE: dict[str, Any] = {
    "name": "support-spike",
    "description": "Too many support calls",
    "when": {
        "threshold": {
            "event": "ticket.opened",
            "where": {"data.severity": {"in": ["high", "urgent"]}},
            "within": "30d",
            "at_least": {"high": 10, "low": 20, "tech": 40},
        }
    },
    "where": {"account.attributes.status": {"ne": "churned"}},
    "scope": "account",
    "cooldown": "30d",
    "playbook": "support-outreach",
    "status": "active",
}
