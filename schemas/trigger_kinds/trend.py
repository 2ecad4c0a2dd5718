"""trend: the recent rate against that of the time just before."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from schemas.choice import exactly_one
from schemas.duration import Duration
from schemas.fields import EventPath, Share, invalid
from schemas.tiered import Tiered
from schemas.trigger_kinds.base import KindWords, Selector


class Trend(Selector, KindWords):
    """The recent rate compared with the rate just before, at the daily tick."""

    model_config = ConfigDict(json_schema_extra=exactly_one("falls_by", "rises_by"))
    example: ClassVar[dict[str, Any]] = {"event": "login", "over": "28d", "baseline": "56d", "falls_by": 20}
    has_value = True
    has_threshold = True
    has_figures = True
    at_tick: ClassVar[bool] = True
    has_event: ClassVar[bool] = False
    rests_on_silence: ClassVar[bool] = True

    aggregate: Literal["count", "sum"] = Field(
        default="count", description="What to compare: the count of events or the sum of a value."
    )
    of: EventPath | None = Field(
        default=None,
        validate_default=True,
        description="The path of the value to sum.",
        examples=["data.amount"],
    )
    over: Duration = Field(description="The length of the recent span.", examples=["28d"])
    baseline: Duration = Field(
        description="The length of the span just before it, which is compared with.", examples=["56d"]
    )
    falls_by: Tiered[Share] | None = Field(
        default=None,
        description="Fires when the rate per day has fallen by at least this many per cent.",
        examples=[20],
    )
    rises_by: Tiered[Share] | None = Field(
        default=None,
        description="Fires when the rate per day has risen by at least this many per cent.",
        examples=[50],
    )
    min_baseline: Annotated[int, Field(strict=True, ge=0, le=10**9)] = Field(
        default=10, description="How many events the baseline must hold at least.", examples=[10]
    )

    @field_validator("of")
    @classmethod
    def _of_fits(cls, of: str | None, info: ValidationInfo) -> str | None:
        if of is None and info.data.get("aggregate") == "sum":
            raise invalid("is required for sum")
        if of is not None and info.data.get("aggregate") == "count":
            raise invalid("does not go with count")
        return of

    @field_validator("rises_by")
    @classmethod
    def _only_one(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("falls_by") is not None:
            raise invalid("does not go with falls_by")
        return value

    @model_validator(mode="after")
    def _compares(self) -> "Trend":
        if self.falls_by is None and self.rises_by is None:
            raise invalid("must hold falls_by or rises_by")
        return self

    @property
    def numbers(self) -> list[str]:
        """What it sums."""
        return [self.of] if self.of is not None else []

    @property
    def spans_looked_at(self) -> list[str]:
        """Both spans."""
        return [self.over, self.baseline]

    def default_cooldown(self, tier: str) -> str:  # noqa: ARG002
        """Its recent span."""
        return self.over
