"""Tiers, and values that differ by tier: one value for all, or an object with `high`, `low`, `tech`.

A tier that the object leaves out is not covered. The union's branches carry tags in angle brackets;
`field_path` drops them when it turns a validation error's location into a field's path.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, Tag, model_validator
from pydantic_core import PydanticCustomError

from schemas.choice import at_least_one
from schemas.duration import DateDuration, Duration
from schemas.fields import Count, Number, Share

TIERS = ("high", "low", "tech")
Tier = Literal["high", "low", "tech"]
T = TypeVar("T")


class TierMap(BaseModel, Generic[T]):
    """A value per tier. A tier that is left out or null is not covered: the rule does not fire there."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=at_least_one(*TIERS))

    high: T | None = Field(default=None, description="The value for high touch.")
    low: T | None = Field(default=None, description="The value for low touch.")
    tech: T | None = Field(default=None, description="The value for tech touch.")

    @model_validator(mode="after")
    def _names_a_tier(self) -> "TierMap[T]":
        if self.high is None and self.low is None and self.tech is None:
            raise PydanticCustomError("tiered", "must name at least one of high, low, tech")
        return self


# The names are those of the schemas in OpenAPI and in schemas/json; a `TierMap[…]` would show the whole annotation.
class TieredDuration(TierMap[Duration]):
    """A duration per tier. A tier that is left out or null is not covered: the rule does not fire there."""


class TieredDateDuration(TierMap[DateDuration]):
    """A duration before or after a date, per tier. A tier that is left out or null is not covered."""


class TieredNumber(TierMap[Number]):
    """A number per tier. A tier that is left out or null is not covered: the rule does not fire there."""


class TieredShare(TierMap[Share]):
    """A percentage per tier. A tier that is left out or null is not covered: the rule does not fire there."""


class TieredCount(TierMap[Count]):
    """A whole number per tier. A tier that is left out or null is not covered."""


class TieredFlag(TierMap[StrictBool]):
    """Yes or no per tier. A tier that is left out or null means no."""


_MAPS: list[tuple[Any, type[TierMap[Any]]]] = [
    (Duration, TieredDuration),
    (DateDuration, TieredDateDuration),
    (Number, TieredNumber),
    (Share, TieredShare),
    (Count, TieredCount),
    (StrictBool, TieredFlag),
]


def _branch(value: Any) -> str:
    return "<tiers>" if isinstance(value, (dict, TierMap)) else "<value>"


if TYPE_CHECKING:
    Tiered = Union[T, TierMap[T]]  # noqa: UP007 - a generic alias
else:

    class Tiered:
        """`Tiered[int]`: an int, or a `TierMap` of ints."""

        def __class_getitem__(cls, item: Any) -> Any:
            named = next((model for kind, model in _MAPS if kind == item), TierMap[item])
            value, tiers = Annotated[item, Tag("<value>")], Annotated[named, Tag("<tiers>")]
            return Annotated[Union[value, tiers], Discriminator(_branch)]  # noqa: UP007


def for_tier(value: Any, tier: str | None) -> Any:
    """The value for `tier`; None where the tier is not covered (or the value is None)."""
    if isinstance(value, TierMap):
        return getattr(value, tier) if tier in TIERS else None
    return value


def all_tiers(value: Any) -> list[Any]:
    """The values of all tiers that are covered; one value for every tier counts once."""
    if isinstance(value, TierMap):
        return [one for tier in TIERS if (one := getattr(value, tier)) is not None]
    return [value]


def field_path(location: Sequence[int | str]) -> str:
    """`when.threshold.within` from a validation error's location, without the tags of unions."""
    return ".".join(str(part) for part in location if not (isinstance(part, str) and part.startswith("<")))
