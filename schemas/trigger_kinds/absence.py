"""absence: no matching event for a while, or the first one after a while."""

from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from schemas.duration import Duration
from schemas.fields import invalid
from schemas.tiered import Tiered, all_tiers
from schemas.trigger_kinds.base import KindWords, Selector


class Absence(Selector, KindWords):
    """No matching event comes for a while, or the first one comes after a while."""

    example: ClassVar[dict[str, Any]] = {"event": "login", "for": "14d"}
    has_value = False
    has_threshold = True
    at_tick: ClassVar[bool] = False
    has_event: ClassVar[bool] = True
    rests_on_silence: ClassVar[bool] = True

    for_: Tiered[Duration] = Field(
        alias="for", description="How long no matching event must come.", examples=["14d"]
    )
    since: Selector | None = Field(
        default=None,
        description="Start the wait at the last event of this kind. A later one starts it again.",
        examples=[{"event": "invoice.overdue"}],
    )
    fire: Literal["at_deadline", "on_return"] = Field(
        default="at_deadline",
        description="Whether to fire when the time is over, or at the event that ends the absence.",
    )

    @field_validator("fire")
    @classmethod
    def _fire_fits(cls, fire: str, info: ValidationInfo) -> str:
        if fire == "on_return" and info.data.get("since") is not None:
            raise invalid("on_return does not go with since")
        return fire

    @property
    def selectors(self) -> list[Selector]:
        """What it waits for, and what arms it."""
        return [self] if self.since is None else [self, self.since]

    @property
    def spans_looked_at(self) -> list[str]:
        """How long it waits."""
        return all_tiers(self.for_)

    def default_cooldown(self, tier: str) -> str:  # noqa: ARG002
        """None: each absence fires."""
        return "0s"
