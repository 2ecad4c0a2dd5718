"""A backtest as the API takes and answers it (contract, section 11)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from schemas.answers import Answer, Time
from schemas.fields import Name, Strict, invalid
from schemas.rule import RuleIn, TierEntry, TiersDoc
from schemas.tiered import Tier
from schemas.timestamps import Moment

MAX_VALUES = 20

BACKTEST_EXAMPLE = {
    "rule": {
        "name": "support-spike",
        "when": {
            "threshold": {"event": "ticket.opened", "within": "30d", "at_least": {"high": 10, "low": 20}}
        },
    },
    "from": "2026-08-01T00:00:00Z",
    "vary": {"when.threshold.at_least": [{"high": 8, "low": 15}, {"high": 12, "low": 25}]},
}


class BacktestIn(Strict):
    """What a rule would have done over the log that is kept."""

    rule: RuleIn | Name = Field(description="A rule as in `POST /v1/rules`, or the name of a saved one.")
    from_: Moment | None = Field(
        default=None, alias="from", description="Only triggers at or after this time are reported."
    )
    to: Moment | None = Field(default=None, description="Only triggers before this time are reported.")
    tiers: Annotated[list[TierEntry], Field(min_length=1, max_length=100)] | None = Field(
        default=None,
        description="A tier policy to try, as a list or as in `PUT /v1/tiers`; default: the one in force, throughout.",
    )
    vary: dict[str, Annotated[list[Any], Field(min_length=1, max_length=MAX_VALUES)]] | None = Field(
        default=None,
        description="One path of the rule (as in errors) and up to 20 values for it, judged in the same reading.",
    )
    against: Name | None = Field(default=None, description="Another saved rule to compare with.")

    @field_validator("tiers", mode="before")
    @classmethod
    def _as_put(cls, tiers: Any) -> Any:
        """The list in a body of `PUT /v1/tiers`, and in what `GET` answers."""
        whole = (
            isinstance(tiers, dict) and "tiers" in tiers and tiers.keys() <= {"tiers", *TiersDoc.read_only}
        )
        return tiers["tiers"] if whole else tiers

    @field_validator("vary")
    @classmethod
    def _one_path(cls, vary: dict[str, list[Any]] | None) -> dict[str, list[Any]] | None:
        if vary is not None and len(vary) != 1:
            raise invalid("should name exactly one path")
        return vary

    @model_validator(mode="after")
    def _in_order(self) -> "BacktestIn":
        begin, end = self.from_, self.to
        if isinstance(begin, datetime) and isinstance(end, datetime) and begin >= end:
            raise invalid("should be later than from", at="to")
        return self


class ByTier(Answer):
    """Numbers of triggers."""

    high: int
    low: int
    tech: int


class DayOut(ByTier):
    """The triggers of a UTC day."""

    day: str = Field(examples=["2026-11-22"])


class VariantOut(Answer):
    """What the rule would have done with another value at the path that was varied."""

    value: Any
    triggers: int
    subjects: int
    by_tier: ByTier


class BacktestMatchOut(Answer):
    """A subject for which the rule held at the end of the log, or nearly."""

    account: str
    contact: str | None = Field(description="Of a rule with `scope: contact`.")
    key: str | None = Field(description="Of a rule with `by`.")
    tier: Tier
    share: float = Field(description="1: it is there.", examples=[0.9])
    value: int | float | None = Field(description="What is measured; of an absence, the seconds waited.")
    threshold: int | float | str | None = Field(description="What the value is held against.")
    due: Time | None = Field(description="The deadline, or the moment of a date.")


class AgainstOut(Answer):
    """The difference from another rule, by account, contact, key, `at` and `event_id`."""

    rule: str
    same: int
    added: int = Field(description="Triggers that only the rule itself has.")
    dropped: int = Field(description="Triggers that only the other rule has.")


class BacktestOut(Answer):
    """A backtest. What it found is there once its status is `done`."""

    id: str = Field(examples=["bac_902958824fa9c769ac0f2d310e"])
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: float = Field(description="0 to 1.")
    error: str | None = Field(description="Why it failed.")
    created_at: Time
    rule: str = Field(description="Name of the rule.")
    rule_version: int | None = Field(description="Of a saved rule; null for a body.")
    from_: Time | None = Field(alias="from")
    to: Time | None
    log_from: Time | None = Field(default=None, description="The earliest event that was read.")
    events: int = Field(default=0, description="Events read.")
    accounts: int = Field(default=0, description="Accounts known at the end.")
    triggers: int = 0
    subjects: int = Field(default=0, description="Accounts, contacts or keys that had a trigger.")
    by_tier: ByTier | None = None
    by_day: list[DayOut] = Field(default=[], description="Days with a trigger.")
    decisions: dict[str, int] = Field(
        default={}, description="How often the rule decided, by reason, over the whole log."
    )
    variants: list[VariantOut] = Field(default=[], description="In the order of the values.")
    against: AgainstOut | None = None
