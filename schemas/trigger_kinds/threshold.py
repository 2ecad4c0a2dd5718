"""threshold: an aggregate over a sliding window, or over all time, compared with a number."""

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from schemas.choice import exactly_one
from schemas.duration import Duration
from schemas.fields import AccountPath, EventPath, Number, invalid
from schemas.tiered import Tiered, for_tier
from schemas.trigger_kinds.base import KindWords, Selector, Since

OPERATORS = ("at_least", "above", "at_most", "below")
FALLING = ("at_most", "below")
NUMERIC = ("sum", "avg", "min", "max")
Aggregate = Literal["count", "sum", "avg", "min", "max", "distinct", "days"]
VALUELESS = ("count", "days")


class Threshold(Selector, KindWords):
    """An aggregate over a sliding window, or over all time, compared with a number."""

    model_config = ConfigDict(json_schema_extra=exactly_one(*OPERATORS))
    example: ClassVar[dict[str, Any]] = {"event": "ticket.opened", "within": "30d", "at_least": 3}
    has_value = True
    has_threshold = True

    aggregate: Aggregate = Field(
        default="count", description="What to aggregate. `days` counts distinct UTC days."
    )
    of: EventPath | None = Field(
        default=None,
        validate_default=True,
        description="The path of the value to aggregate.",
        examples=["data.amount"],
    )
    per: AccountPath | None = Field(
        default=None,
        description="An account attribute to divide by. If it is missing or not above zero, the rule does "
        "not fire.",
        examples=["account.attributes.seats"],
    )
    since: Since | None = Field(
        default=None,
        description="Count only from the last event of this kind on.",
        examples=[{"event": "account.signed_up", "for": "14d"}],
    )
    at_least: Tiered[Number] | None = Field(
        default=None, description="Fires when the value is at least this.", examples=[10]
    )
    above: Tiered[Number] | None = Field(
        default=None, description="Fires when the value is above this.", examples=[9]
    )
    at_most: Tiered[Number] | None = Field(
        default=None, description="Fires at the daily tick when the value is at most this.", examples=[2]
    )
    below: Tiered[Number] | None = Field(
        default=None, description="Fires at the daily tick when the value is below this.", examples=[3]
    )
    within: Duration | None = Field(
        default=None,
        validate_default=True,
        description="The length of the window. Without it, all time counts.",
        examples=["30d"],
    )

    @property
    def operator(self) -> str:
        """Which comparison it has."""
        return next(name for name in OPERATORS if getattr(self, name) is not None)

    @property
    def at_tick(self) -> bool:
        """Whether it is decided at the daily tick."""
        return self.operator in FALLING

    @property
    def spans_looked_at(self) -> list[str]:
        """The window of one that is decided at the daily tick."""
        return [self.within] if self.at_tick and self.within is not None else []

    @property
    def rests_on_silence(self) -> bool:
        """Those of the daily tick look for few events."""
        return self.at_tick

    @property
    def has_event(self) -> bool:
        """Those of the daily tick have none."""
        return not self.at_tick

    @property
    def numbers(self) -> list[str]:
        """What it aggregates, and what it divides by."""
        of = [self.of] if self.aggregate in NUMERIC and self.of is not None else []
        return of if self.per is None else [*of, self.per]

    def default_cooldown(self, tier: str) -> str:
        """Its window; all time fires once, but a rule that every event makes fire does so."""
        if self.within is not None:
            return self.within
        counts = self.aggregate == "count" and self.per is None
        every = for_tier(self.at_least, tier) == 1 or for_tier(self.above, tier) == 0
        return "0s" if counts and every else "once"

    @field_validator("of")
    @classmethod
    def _of_fits(cls, of: str | None, info: ValidationInfo) -> str | None:
        aggregate = info.data.get("aggregate")
        if of is None and aggregate not in (None, *VALUELESS):
            raise invalid("is required for {aggregate}", aggregate=aggregate)
        if of is not None and aggregate in VALUELESS:
            raise invalid("does not go with {aggregate}", aggregate=aggregate)
        return of

    @field_validator("above", "at_most", "below")
    @classmethod
    def _only_one(cls, value: Any, info: ValidationInfo) -> Any:
        others = [n for n in OPERATORS if n != info.field_name and info.data.get(n) is not None]
        if value is not None and others:
            raise invalid("does not go with {other}", other=others[0])
        return value

    @field_validator("within")
    @classmethod
    def _within_fits(cls, within: str | None, info: ValidationInfo) -> str | None:
        if within is None and any(info.data.get(name) is not None for name in FALLING):
            raise invalid("is required for at_most and below")
        return within

    @model_validator(mode="after")
    def _compares(self) -> "Threshold":
        if all(getattr(self, name) is None for name in OPERATORS):
            raise invalid("must hold one of at_least, above, at_most, below")
        return self
