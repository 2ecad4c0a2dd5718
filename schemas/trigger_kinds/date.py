"""date: a while before or after a date that the account or contact carries."""

from typing import Any, ClassVar

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from schemas.choice import exactly_one
from schemas.dates import FORMS
from schemas.duration import CalendarDuration, DateDuration, Duration, parse_calendar
from schemas.fields import DatePath, invalid
from schemas.tiered import Tiered
from schemas.trigger_kinds.base import KindWords

HOUR_US = 3_600_000_000


def _repeatable(span: str) -> bool:
    parsed = parse_calendar(span)
    return parsed.months > 0 if isinstance(parsed, CalendarDuration) else parsed >= HOUR_US


class Date(KindWords):
    """Some time before or after a date of the account or contact."""

    model_config = ConfigDict(json_schema_extra=exactly_one("before", "after"))
    example: ClassVar[dict[str, Any]] = {"attribute": "account.attributes.renewal_date", "before": "90d"}
    has_value = False
    has_threshold = True
    at_tick: ClassVar[bool] = False
    has_event: ClassVar[bool] = False

    attribute: DatePath = Field(
        description=f"The path to a date or time of the account or contact: {FORMS}.",
        examples=["account.attributes.renewal_date"],
    )
    before: Tiered[DateDuration] | None = Field(
        default=None, description="How long before the date to fire.", examples=["90d"]
    )
    after: Tiered[DateDuration] | None = Field(
        default=None, description="How long after the date to fire.", examples=["3mo"]
    )
    repeat: bool = Field(
        default=False, strict=True, description="Whether to fire again at every further multiple of the span."
    )
    late: Duration = Field(
        default="1d",
        description="A moment that lies further in the past than this when it becomes known is skipped.",
    )

    @field_validator("after")
    @classmethod
    def _only_one(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("before") is not None:
            raise invalid("does not go with before")
        return value

    @model_validator(mode="after")
    def _says_when(self) -> "Date":
        span = self.before if self.before is not None else self.after
        if span is None:
            raise invalid("must hold before or after")
        spans = [span] if isinstance(span, str) else [span.high, span.low, span.tech]
        if self.repeat and any(one is not None and not _repeatable(one) for one in spans):
            raise invalid("repeat needs a span of at least an hour")
        return self

    @property
    def dates(self) -> list[str]:
        """Its attribute."""
        return [self.attribute]

    @property
    def dates_ahead(self) -> list[str]:
        """Its attribute, if it fires before it."""
        return [self.attribute] if self.before is not None else []

    def misfit(self, scope: str) -> tuple[str, str] | None:
        """Each contact has a date of their own."""
        if scope == "account" and self.attribute.startswith("contact"):
            return "attribute", "a date of contacts needs scope contact"
        return None

    def default_cooldown(self, tier: str) -> str:  # noqa: ARG002
        """None: each date fires."""
        return "0s"
