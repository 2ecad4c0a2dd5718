"""A backtest as the API takes and answers it (contract, section 11)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from schemas.answers import Answer, Time
from schemas.fields import Name, Strict, invalid
from schemas.rule import RuleIn, TierEntry, TiersDoc
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
    """A request to run a rule over the log."""

    rule: RuleIn | Name = Field(description="A rule as in `POST /v1/rules`, or the name of a saved rule.")
    from_: Moment | None = Field(
        default=None, alias="from", description="Only triggers at or after this time are reported."
    )
    to: Moment | None = Field(default=None, description="Only triggers before this time are reported.")
    tiers: Annotated[list[TierEntry], Field(min_length=1, max_length=100)] | None = Field(
        default=None,
        description="A tier policy to try, as a list or as in `PUT /v1/tiers`. Default: the current policy.",
    )
    vary: dict[str, Annotated[list[Any], Field(min_length=1, max_length=MAX_VALUES)]] | None = Field(
        default=None,
        description="A path in the rule (as in errors) with up to 20 values to try in the same run.",
    )
    against: Name | None = Field(default=None, description="The name of a saved rule to compare with.")

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
    """The number of triggers per tier."""

    high: int
    low: int
    tech: int


class DayOut(ByTier):
    """The number of triggers on a UTC day."""

    day: str = Field(examples=["2026-11-22"])


class VariantOut(Answer):
    """What the rule would have done with another value at the varied path."""

    value: Any
    triggers: int
    subjects: int
    by_tier: ByTier


class AgainstOut(Answer):
    """The difference from another rule. Triggers are the same if account, contact, key, `at` and `event_id`
    are.
    """

    rule: str
    same: int
    added: int = Field(description="The number of triggers that only the rule itself has.")
    dropped: int = Field(description="The number of triggers that only the other rule has.")


class BacktestOut(Answer):
    """A backtest. Its results are available once its status is `done`."""

    id: str = Field(examples=["bac_902958824fa9c769ac0f2d310e"])
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: float = Field(description="The progress, from 0 to 1.")
    error: str | None = Field(description="Why the job failed. Null if it did not.")
    created_at: Time
    rule: str = Field(description="The name of the rule.")
    rule_version: int | None = Field(
        description="The version of a saved rule. Null if the rule was in the request."
    )
    from_: Time | None = Field(alias="from")
    to: Time | None
    log_from: Time | None = Field(default=None, description="The time of the earliest event that was read.")
    events: int = Field(default=0, description="The number of events read.")
    accounts: int = Field(default=0, description="The number of accounts known at the end.")
    triggers: int = 0
    subjects: int = Field(
        default=0, description="The number of accounts, contacts or keys that had a trigger."
    )
    by_tier: ByTier | None = None
    by_day: list[DayOut] = Field(default=[], description="The triggers of each day that had any.")
    decisions: dict[str, int] = Field(
        default={}, description="How many decisions the rule made over the whole log, by reason."
    )
    variants: list[VariantOut] = Field(
        default=[], description="The results for the values in `vary`, in the same order."
    )
    against: AgainstOut | None = None
