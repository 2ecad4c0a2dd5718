"""When a rule fires: the six kinds, and what holds a rule back (contract, section 6)."""

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.choice import exactly_one
from schemas.conditions.model import EventCondition, ProfileCondition
from schemas.dates import FORMS
from schemas.duration import CalendarDuration, DateDuration, Duration, parse_calendar
from schemas.fields import AccountPath, DatePath, EventPath, Number, Share, Strict, Types, invalid
from schemas.tiered import Tiered

OPERATORS = ("at_least", "above", "at_most", "below")
FALLING = ("at_most", "below")


class Selector(Strict):
    """Which events: a type, several types, or "*" for every type that is not reserved."""

    event: Types = Field(
        description='A type, a list of types, or "*" alone (every type that is not reserved).',
        examples=["ticket.opened"],
    )
    where: EventCondition | None = Field(
        default=None,
        description="A condition on the event.",
        examples=[{"data.severity": {"in": ["high", "urgent"]}}],
    )


class Since(Selector):
    """Count only from the subject's last such event on, and with `for` only until that span after it."""

    for_: Duration | None = Field(
        default=None, alias="for", description="Count until this long after it.", examples=["14d"]
    )


Aggregate = Literal["count", "sum", "avg", "min", "max", "distinct", "days"]
VALUELESS = ("count", "days")


class Threshold(Selector):
    """An aggregate over a sliding window (or all time) compared with a number."""

    model_config = ConfigDict(json_schema_extra=exactly_one(*OPERATORS))

    aggregate: Aggregate = Field(default="count", description="What is compared; days: distinct UTC days.")
    of: EventPath | None = Field(
        default=None, validate_default=True, description="The value to aggregate.", examples=["data.amount"]
    )
    per: AccountPath | None = Field(
        default=None,
        description="An account attribute to divide by; missing or not above zero never fires.",
        examples=["account.attributes.seats"],
    )
    since: Since | None = Field(
        default=None,
        description="Count from the last such event on.",
        examples=[{"event": "account.signed_up", "for": "14d"}],
    )
    at_least: Tiered[Number] | None = Field(default=None, description="Fires at this or more.", examples=[10])
    above: Tiered[Number] | None = Field(default=None, description="Fires at more than this.", examples=[9])
    at_most: Tiered[Number] | None = Field(
        default=None, description="Fires at this or less, at the daily tick.", examples=[2]
    )
    below: Tiered[Number] | None = Field(
        default=None, description="Fires at less than this, at the daily tick.", examples=[3]
    )
    within: Duration | None = Field(
        default=None, validate_default=True, description="The window; all time without.", examples=["30d"]
    )

    @property
    def operator(self) -> str:
        """Which comparison it has."""
        return next(name for name in OPERATORS if getattr(self, name) is not None)

    @property
    def at_tick(self) -> bool:
        """Whether it is decided at the daily tick."""
        return self.operator in FALLING

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


class Absence(Selector):
    """No matching event for a while (or the first one after a while)."""

    for_: Tiered[Duration] = Field(alias="for", description="How long without one.", examples=["14d"])
    since: Selector | None = Field(
        default=None,
        description="Count from the last such event; a later one arms anew.",
        examples=[{"event": "invoice.overdue"}],
    )
    fire: Literal["at_deadline", "on_return"] = Field(
        default="at_deadline", description="When the time is over, or at the event that ends the absence."
    )

    @field_validator("fire")
    @classmethod
    def _fire_fits(cls, fire: str, info: ValidationInfo) -> str:
        if fire == "on_return" and info.data.get("since") is not None:
            raise invalid("on_return does not go with since")
        return fire


class Trend(Selector):
    """The recent rate against that of the time just before, at the daily tick."""

    model_config = ConfigDict(json_schema_extra=exactly_one("falls_by", "rises_by"))

    aggregate: Literal["count", "sum"] = Field(default="count", description="What is compared.")
    of: EventPath | None = Field(
        default=None, validate_default=True, description="The value to sum.", examples=["data.amount"]
    )
    over: Duration = Field(description="The recent span.", examples=["28d"])
    baseline: Duration = Field(description="The span just before it.", examples=["56d"])
    falls_by: Tiered[Share] | None = Field(
        default=None, description="Per cent of the rate per day that it fell by.", examples=[20]
    )
    rises_by: Tiered[Share] | None = Field(
        default=None, description="Per cent of the rate per day that it rose by.", examples=[50]
    )
    min_baseline: Annotated[int, Field(strict=True, ge=0, le=10**9)] = Field(
        default=10, description="Events that the baseline must hold.", examples=[10]
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


HOUR_US = 3_600_000_000


def _repeatable(span: str) -> bool:
    parsed = parse_calendar(span)
    return parsed.months > 0 if isinstance(parsed, CalendarDuration) else parsed >= HOUR_US


class Date(Strict):
    """A while before or after a date that the account or contact carries."""

    model_config = ConfigDict(json_schema_extra=exactly_one("before", "after"))

    attribute: DatePath = Field(
        description=f"Path to a date or time of the account or contact: {FORMS}.",
        examples=["account.attributes.renewal_date"],
    )
    before: Tiered[DateDuration] | None = Field(
        default=None, description="So long before the date.", examples=["90d"]
    )
    after: Tiered[DateDuration] | None = Field(
        default=None, description="So long after the date.", examples=["3mo"]
    )
    repeat: bool = Field(default=False, strict=True, description="Also at every further multiple of it.")
    late: Duration = Field(
        default="1d", description="A moment past by more than this when it becomes known is skipped."
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


class Becomes(Strict):
    """An update turns a condition true."""

    is_: ProfileCondition = Field(
        alias="is",
        description="The condition, over account and contact.",
        examples=[{"account.attributes.health": {"lt": 50}}],
    )


KINDS = ("threshold", "absence", "trend", "date", "becomes", "all_of")


class _Kinds(Strict):
    threshold: Threshold | None = Field(default=None, description="An aggregate reaches a number.")
    absence: Absence | None = Field(default=None, description="Something does not happen for a while.")
    trend: Trend | None = Field(default=None, description="A rate falls or rises.")
    date: Date | None = Field(default=None, description="A date comes near or is past.")
    becomes: Becomes | None = Field(default=None, description="An update turns a condition true.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "_Kinds":
        given = [kind for kind in KINDS if getattr(self, kind, None) is not None]
        if len(given) != 1:
            raise invalid("must hold exactly one of {kinds}", kinds=", ".join(type(self).model_fields))
        return self

    @property
    def kind(self) -> str:
        """Which kind it is."""
        return next(kind for kind in KINDS if getattr(self, kind, None) is not None)

    @property
    def body(self) -> Any:
        """What the kind holds."""
        return getattr(self, self.kind)


class Member(_Kinds):
    """One of the conditions of an `all_of`."""

    model_config = ConfigDict(json_schema_extra=exactly_one(*KINDS[:-1]))


class AllOf(Strict):
    """Several at once: each has held within a span."""

    of: Annotated[list[Member], Field(min_length=1, max_length=10)] = Field(
        description="What must have held."
    )
    within: Duration = Field(description="How close together.", examples=["30d"])


class When(_Kinds):
    """When a rule fires: exactly one kind."""

    model_config = ConfigDict(json_schema_extra=exactly_one(*KINDS))

    all_of: AllOf | None = Field(default=None, description="Several of the others, close together.")

    @property
    def members(self) -> list["_Kinds"]:
        """The kinds it consists of: the members of an `all_of`, else itself."""
        return list(self.all_of.of) if self.all_of is not None else [self]


class UnlessThreshold(Threshold):
    """A threshold that holds a rule back."""

    @field_validator("per", "since")
    @classmethod
    def _not_here(cls, value: Any) -> Any:
        if value is not None:
            raise invalid("is not allowed in unless")
        return value


class Unless(Strict):
    """What must not hold at the moment of firing, counted for the same account or contact."""

    threshold: UnlessThreshold = Field(description="Counted without `by`.")


def tick_only(member: _Kinds) -> bool:
    """Whether a member is decided at the daily tick, thus only for whole accounts."""
    return member.trend is not None or (member.threshold is not None and member.threshold.at_tick)
