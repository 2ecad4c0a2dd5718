"""When a rule fires: the register of the trigger kinds, `all_of` over them, and what holds a rule back (contract,
section 6). A new kind is its file in `trigger_kinds/` and its line in `AnyKind`.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from schemas.choice import exactly_one
from schemas.duration import Duration
from schemas.fields import Strict, invalid
from schemas.trigger_kinds.absence import Absence
from schemas.trigger_kinds.base import KindWords, check_words
from schemas.trigger_kinds.becomes import Becomes
from schemas.trigger_kinds.date import Date
from schemas.trigger_kinds.threshold import Threshold
from schemas.trigger_kinds.trend import Trend


class AnyKind(Strict):
    threshold: Threshold | None = Field(
        default=None, description="Fires when an aggregate of events reaches a number."
    )
    absence: Absence | None = Field(
        default=None, description="Fires when something does not happen for a while."
    )
    trend: Trend | None = Field(default=None, description="Fires when a rate falls or rises.")
    date: Date | None = Field(default=None, description="Fires some time before or after a date.")
    becomes: Becomes | None = Field(default=None, description="Fires when an update makes a condition true.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "AnyKind":
        if len(self._given()) != 1:
            raise invalid("must hold exactly one of {kinds}", kinds=", ".join(type(self).model_fields))
        return self

    def _given(self) -> list[str]:
        return [kind for kind in type(self).model_fields if getattr(self, kind) is not None]

    @property
    def kind(self) -> str:
        """Which kind it is."""
        return self._given()[0]

    @property
    def body(self) -> Any:
        """What the kind holds."""
        return getattr(self, self.kind)


KINDS: dict[str, type[KindWords]] = {
    name: check_words(name, field.annotation) for name, field in AnyKind.model_fields.items()
}


class Member(AnyKind):
    """One of the members of an `all_of`."""

    model_config = ConfigDict(json_schema_extra=exactly_one(*KINDS))


class AllOf(Strict):
    """Several conditions at once: each has held within a span of time."""

    of: Annotated[list[Member], Field(min_length=1, max_length=10)] = Field(
        description="The conditions that must all have held."
    )
    within: Duration = Field(
        description="The span of time within which all conditions must have held.", examples=["30d"]
    )


class When(AnyKind):
    """When a rule fires: exactly one kind of trigger."""

    model_config = ConfigDict(json_schema_extra=exactly_one(*KINDS, "all_of"))

    all_of: AllOf | None = Field(
        default=None, description="Fires when several of the other kinds have held close together."
    )

    @property
    def members(self) -> list[AnyKind]:
        """The kinds it consists of: the members of an `all_of`, else itself."""
        return list(self.all_of.of) if self.all_of is not None else [self]

    def default_cooldown(self, tier: str) -> str:
        """What holds in a tier where the rule says nothing: a duration, `0s` or `once`."""
        return self.all_of.within if self.all_of is not None else self.members[0].body.default_cooldown(tier)


class UnlessThreshold(Threshold):
    """A threshold that keeps a rule from firing."""

    @field_validator("per", "since")
    @classmethod
    def _not_here(cls, value: Any) -> Any:
        if value is not None:
            raise invalid("is not allowed in unless")
        return value


class Unless(Strict):
    """What must not hold when the rule fires, counted for the same account or contact."""

    threshold: UnlessThreshold = Field(
        description="A threshold that keeps the rule from firing. It is counted without `by`."
    )
